//! The one control group, among a process's hierarchies, that decides its container.

use super::classify::{CgroupKind, classify};

/// The path that decides, out of the text of /proc/PID/cgroup; `None` when no line is of use.
///
/// Lines are `hierarchy:controllers:path`. Candidates are cgroup v2 and the v1 hierarchies cpu, memory and
/// `name=systemd`, and:
/// 1. a cpu or memory path that starts with `/kubepods` wins: in hybrid mode the kubelet places pods there only;
/// 2. else the path that says most wins: one of a container over one of a systemd unit, that over any other,
///    that over `/`. So a v2 hierarchy that is mounted beside v1 and has the process in `/`, or in the unit of the
///    daemon that started it, does not hide `/docker/<id>` of v1;
/// 3. among equals the order is v2, cpu, memory, systemd.
///
/// A path with leading `/..` (the reader is in another cgroup namespace) is returned without them, one that ends in
/// ` (deleted)` (the control group was removed under a zombie) without that.
pub fn process_cgroup(text: &str) -> Option<&str> {
    let mut candidates: [Option<&str>; 4] = [None; 4];
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let path = normalized(path);
        if controllers.is_empty() {
            candidates[0] = Some(path);
        }
        for controller in controllers.split(',') {
            match controller {
                "cpu" => candidates[1] = Some(path),
                "memory" => candidates[2] = Some(path),
                "name=systemd" => candidates[3] = Some(path),
                _ => {}
            }
        }
    }
    let [_, cpu, memory, _] = candidates;
    if let Some(pod) = [cpu, memory].into_iter().flatten().find(|path| path.starts_with("/kubepods")) {
        return Some(pod);
    }
    let mut best: Option<(u8, &str)> = None;
    for path in candidates.into_iter().flatten() {
        let says = weight(path);
        if best.is_none_or(|(most, _)| says > most) {
            best = Some((says, path));
        }
    }
    best.map(|(_, path)| path)
}

/// How much a path says about a container.
fn weight(path: &str) -> u8 {
    match classify(path) {
        CgroupKind::Standalone if path == "/" => 0,
        CgroupKind::Standalone => 1,
        CgroupKind::Systemd { .. } => 2,
        _ => 3,
    }
}

/// Without leading `/..` and trailing ` (deleted)`.
pub(super) fn normalized(path: &str) -> &str {
    let mut path = path.strip_suffix(" (deleted)").unwrap_or(path);
    while let Some(rest) = path.strip_prefix("/..") {
        match rest.as_bytes().first() {
            None => return "/",
            Some(b'/') => path = rest,
            Some(_) => break,
        }
    }
    path
}
