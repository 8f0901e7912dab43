//! Which cloud the host is rented from: what its firmware says in, a provider out. Nothing is asked over the network.

use crate::sources::Roots;
use crate::sources::file::first_line;

/// A cloud with a metadata service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon Web Services.
    Aws,
    /// Google Cloud.
    Gcp,
    /// Microsoft Azure.
    Azure,
    /// Hetzner Cloud.
    Hetzner,
    /// DigitalOcean.
    DigitalOcean,
    /// Alibaba Cloud.
    Alibaba,
    /// Scaleway.
    Scaleway,
    /// IBM Cloud.
    Ibm,
    /// Oracle Cloud.
    Oracle,
}

/// Azure's virtual machines have this tag; a Hyper-V host of one's own has the same vendor and another tag.
const AZURE_ASSET_TAG: &str = "7783-7084-3265-9085-8269-3286-77";

impl Provider {
    /// Its name in rows and labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "AWS",
            Self::Gcp => "GCP",
            Self::Azure => "Azure",
            Self::Hetzner => "Hetzner",
            Self::DigitalOcean => "DigitalOcean",
            Self::Alibaba => "Alibaba",
            Self::Scaleway => "Scaleway",
            Self::Ibm => "IBM",
            Self::Oracle => "Oracle",
        }
    }

    /// Where its metadata service is: an address that is routed to no other host.
    pub(super) fn service(self) -> &'static str {
        match self {
            Self::Alibaba => "http://100.100.100.200",
            Self::Scaleway => "http://169.254.42.42",
            _ => "http://169.254.169.254",
        }
    }

    /// The provider that the firmware names.
    pub fn detect(roots: &Roots) -> Option<Self> {
        let dmi = |name: &str| {
            first_line(&roots.sys.join("class/dmi/id").join(name))
                .or_else(|| first_line(&roots.sys.join("devices/virtual/dmi/id").join(name)))
                .unwrap_or_default()
        };
        // Virtual machines on Xen have no vendor.
        let hypervisor = first_line(&roots.sys.join("hypervisor/uuid")).unwrap_or_default();
        if hypervisor.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("ec2")) {
            return Some(Self::Aws);
        }
        let asset_tag = dmi("chassis_asset_tag");
        match dmi("board_vendor").as_str() {
            "Amazon EC2" => return Some(Self::Aws),
            "Google" => return Some(Self::Gcp),
            "Microsoft Corporation" if ["", AZURE_ASSET_TAG].contains(&asset_tag.as_str()) => {
                return Some(Self::Azure);
            }
            "DigitalOcean" => return Some(Self::DigitalOcean),
            _ => {}
        }
        match dmi("sys_vendor").as_str() {
            "Hetzner" => return Some(Self::Hetzner),
            "Alibaba Cloud" => return Some(Self::Alibaba),
            "Scaleway" => return Some(Self::Scaleway),
            _ => {}
        }
        if dmi("chassis_vendor").starts_with("IBM:Cloud Compute Server") {
            return Some(Self::Ibm);
        }
        (asset_tag == "OracleCloud.com").then_some(Self::Oracle)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::fs;

    use super::*;

    fn host(files: &[(&str, &str)]) -> Option<Provider> {
        let host = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = host.path().join("sys").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        Provider::detect(&Roots::below(host.path()))
    }

    #[test]
    fn the_firmware_names_the_provider() {
        for (file, text, expected) in [
            ("hypervisor/uuid", "EC2E1916-9099-7CAF-FD21-012345ABCDEF", Provider::Aws),
            ("class/dmi/id/board_vendor", "Amazon EC2", Provider::Aws),
            ("class/dmi/id/board_vendor", "Google", Provider::Gcp),
            ("class/dmi/id/board_vendor", "Microsoft Corporation", Provider::Azure),
            ("class/dmi/id/board_vendor", "DigitalOcean", Provider::DigitalOcean),
            ("class/dmi/id/sys_vendor", "Hetzner", Provider::Hetzner),
            ("class/dmi/id/sys_vendor", "Alibaba Cloud", Provider::Alibaba),
            ("devices/virtual/dmi/id/sys_vendor", "Scaleway", Provider::Scaleway),
            ("class/dmi/id/chassis_vendor", "IBM:Cloud Compute Server 1.0:cx2-2x4", Provider::Ibm),
            ("class/dmi/id/chassis_asset_tag", "OracleCloud.com", Provider::Oracle),
        ] {
            assert_eq!(host(&[(file, text)]), Some(expected), "{file}: {text}");
        }
    }

    #[test]
    fn hosts_of_ones_own_are_of_no_provider() {
        assert_eq!(host(&[]), None);
        assert_eq!(host(&[("class/dmi/id/sys_vendor", "QEMU")]), None);
        let hyper_v = [
            ("class/dmi/id/board_vendor", "Microsoft Corporation"),
            ("class/dmi/id/chassis_asset_tag", "4187-2212-7612-9381-0020-1234-56"),
        ];
        assert_eq!(host(&hyper_v), None);
        let azure = [hyper_v[0], ("class/dmi/id/chassis_asset_tag", AZURE_ASSET_TAG)];
        assert_eq!(host(&azure), Some(Provider::Azure));
    }
}
