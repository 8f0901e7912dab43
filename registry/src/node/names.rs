//! Which disks and network interfaces are the host's own, by name.

/// Whole disks: `dm-0`, `sda`, `hda`, `vda`, `xvda`, `md0`, `mmcblk0`, `nvme0n1`, `rbd0`; no partitions.
pub(super) fn is_disk(name: &str) -> bool {
    let numbered =
        ["dm-", "md", "mmcblk", "rbd"].iter().any(|prefix| name.strip_prefix(prefix).is_some_and(is_number));
    let lettered =
        ["xvd", "sd", "hd", "vd"].iter().any(|prefix| name.strip_prefix(prefix).is_some_and(is_letters));
    let is_nvme = name.strip_prefix("nvme").and_then(|rest| rest.split_once('n'));
    numbered
        || lettered
        || is_nvme.is_some_and(|(controller, space)| is_number(controller) && is_number(space))
}

/// Physical interfaces, bonds and bridges: `en…`, `eth0`, `em1`, `bond0`, `p2p1`, `br0`, `vmbr0`; no veth pairs.
pub(super) fn is_interface(name: &str) -> bool {
    let numbered = ["eth", "em", "bond", "br", "vmbr"]
        .iter()
        .any(|prefix| name.strip_prefix(prefix).is_some_and(is_number));
    let is_slot = name.strip_prefix('p').and_then(|rest| rest.split_once('p'));
    name.starts_with("en")
        || numbered
        || is_slot.is_some_and(|(slot, port)| is_number(slot) && is_number(port))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_letters(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_disks_are_shown_and_partitions_are_not() {
        for disk in ["dm-0", "sda", "sdab", "hdb", "vda", "xvdf", "md127", "mmcblk0", "nvme0n1", "rbd12"] {
            assert!(is_disk(disk), "{disk}");
        }
        for other in ["sda1", "nvme0n1p2", "mmcblk0p1", "loop0", "ram0", "sr0", "zram0", "md", "nvme0", ""] {
            assert!(!is_disk(other), "{other}");
        }
    }

    #[test]
    fn interfaces_of_the_host_are_shown_and_those_of_containers_are_not() {
        for own in
            ["eth0", "ens3", "eno1", "enp0s31f6", "enx001122334455", "em1", "bond0", "p2p1", "br0", "vmbr1"]
        {
            assert!(is_interface(own), "{own}");
        }
        for other in
            ["lo", "veth12ab", "docker0", "br-1a2b3c", "cali123", "flannel.1", "ethx", "p2p", "pp1", ""]
        {
            assert!(!is_interface(other), "{other}");
        }
    }
}
