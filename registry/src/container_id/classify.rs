//! What a path of a control group belongs to.

use super::process_cgroup::normalized;

/// What a path of a control group belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CgroupKind {
    /// A Docker container.
    Docker {
        /// 64 hexadecimal digits.
        id: String,
    },
    /// A containerd container: Kubernetes or nerdctl.
    Containerd {
        /// 64 hexadecimal digits.
        id: String,
    },
    /// A CRI-O container.
    Crio {
        /// 64 hexadecimal digits.
        id: String,
    },
    /// A podman container.
    Podman {
        /// 64 hexadecimal digits.
        id: String,
    },
    /// Something of a Kubernetes pod without an id in its path: a sandbox such as gVisor's.
    Sandbox,
    /// An LXC container.
    Lxc {
        /// Its name.
        name: String,
    },
    /// A systemd unit.
    Systemd {
        /// Path such as `/system.slice/nginx.service`.
        unit: String,
    },
    /// A service of Talos Linux.
    Talos {
        /// Its name.
        service: String,
    },
    /// The command that the recorder was told to run.
    Command {
        /// Name of the program.
        program: String,
    },
    /// No container: login sessions, the first process, kernel threads, unknown layouts.
    Standalone,
}

impl CgroupKind {
    /// The id that the container's runtime gave, for kinds that have a runtime.
    pub fn runtime_id(&self) -> Option<&str> {
        match self {
            Self::Docker { id } | Self::Containerd { id } | Self::Crio { id } | Self::Podman { id } => {
                Some(id)
            }
            _ => None,
        }
    }
}

/// The control group under which the recorder runs commands, a child `<program>.<number>` each.
const COMMAND: &str = "aftertrace-command";

/// Slices whose children are units that serve the host.
const UNIT_SLICES: &[&str] =
    &["system.slice", "runtime.slice", "reserved.slice", "kube.slice", "azure.slice", "podruntime.slice"];

/// What the path belongs to. Where containers are nested, it is the outermost one.
pub fn classify(path: &str) -> CgroupKind {
    let parts: Vec<&str> = normalized(path).split('/').filter(|part| !part.is_empty()).collect();
    let Some((&first, rest)) = parts.split_first() else {
        return CgroupKind::Standalone;
    };
    let second = rest.first().copied();
    command(&parts)
        .or_else(|| lxc(first, second))
        .or_else(|| scope(&parts))
        .or_else(|| (first == "docker").then(|| second.and_then(docker)).flatten())
        .or_else(|| pod(&parts))
        .or_else(|| talos(first, second))
        .or_else(|| host(first, second))
        .or_else(|| bare(first, rest))
        .unwrap_or(CgroupKind::Standalone)
}

/// The name of the unit as systemd knows it, when the path belongs to one.
pub fn unit_name(path: &str) -> Option<&str> {
    match classify(path) {
        CgroupKind::Systemd { .. } => normalized(path).split('/').filter(|part| !part.is_empty()).nth(1),
        _ => None,
    }
}

/// `/aftertrace-command/<program>.<number>`, also below the group in which the recorder itself was started.
fn command(parts: &[&str]) -> Option<CgroupKind> {
    let at = parts.iter().position(|part| *part == COMMAND)?;
    let (program, number) = parts.get(at + 1)?.rsplit_once('.')?;
    let is_ours =
        !program.is_empty() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then(|| CgroupKind::Command { program: program.to_owned() })
}

/// `/lxc/<name>`, `/lxc.payload.<name>`; its monitor process is none.
fn lxc(first: &str, second: Option<&str>) -> Option<CgroupKind> {
    if first.starts_with("lxc.monitor") {
        return Some(CgroupKind::Standalone);
    }
    let name = if first == "lxc" { second? } else { first.strip_prefix("lxc.payload.")? };
    Some(CgroupKind::Lxc { name: name.to_owned() })
}

/// A part that names runtime and container, in whatever slice: systemd scopes, and `slice:runtime:id` where the
/// runtime asked for systemd's naming and the cgroupfs driver took it by the letter.
fn scope(parts: &[&str]) -> Option<CgroupKind> {
    parts.iter().find_map(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        if part.starts_with("libpod-conmon-") || part.starts_with("crio-conmon-") {
            return Some(CgroupKind::Standalone);
        }
        let (runtime, id) = part.rsplit_once([':', '-'])?;
        if !is_container_id(id) {
            return None;
        }
        let id = id.to_owned();
        match runtime.rsplit(':').next()? {
            "libpod" => Some(CgroupKind::Podman { id }),
            "docker" => Some(CgroupKind::Docker { id }),
            "crio" => Some(CgroupKind::Crio { id }),
            "cri-containerd" | "nerdctl" => Some(CgroupKind::Containerd { id }),
            _ if part.contains(':') => Some(CgroupKind::Containerd { id }),
            _ => None,
        }
    })
}

/// A pod's container without its runtime's name, or a sandbox.
fn pod(parts: &[&str]) -> Option<CgroupKind> {
    if !parts.iter().any(|part| part.contains("kubepods")) {
        return None;
    }
    Some(parts.iter().find_map(|part| docker(part)).unwrap_or(CgroupKind::Sandbox))
}

fn talos(first: &str, second: Option<&str>) -> Option<CgroupKind> {
    match (first, second) {
        ("init", None) => Some(CgroupKind::Talos { service: "init".to_owned() }),
        ("system" | "podruntime", Some(service)) => Some(CgroupKind::Talos { service: service.to_owned() }),
        _ => None,
    }
}

/// Units and sessions of the host.
fn host(first: &str, second: Option<&str>) -> Option<CgroupKind> {
    match first {
        "user.slice" | "init.scope" | "systemd" => Some(CgroupKind::Standalone),
        slice if UNIT_SLICES.contains(&slice) => {
            let unit = second.filter(|unit| !unit.ends_with(".scope"));
            Some(unit.map_or(CgroupKind::Standalone, |unit| CgroupKind::Systemd {
                unit: format!("/{slice}/{unit}").replace("\\x2d", "-"),
            }))
        }
        _ => None,
    }
}

/// `/<namespace>/<id>` of containerd, and `/<parent>/<id>` of Docker with `--cgroup-parent`.
fn bare(first: &str, rest: &[&str]) -> Option<CgroupKind> {
    let id = rest.iter().find(|part| is_container_id(part))?;
    match first {
        "default" | "k8s.io" | "nerdctl" => Some(CgroupKind::Containerd { id: (*id).to_owned() }),
        _ => docker(id),
    }
}

fn docker(id: &str) -> Option<CgroupKind> {
    is_container_id(id).then(|| CgroupKind::Docker { id: id.to_owned() })
}

fn is_container_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
