//! Domain names as labels: parts that are a machine's own or a search path's make no series of their own.

/// The name without what makes too many of it.
///
/// Reverse look-ups are of one name, so are the names that EC2 makes of addresses; what is behind a public suffix that
/// a resolver's search path was appended to is left out.
pub(super) fn normalise(name: &str) -> String {
    let name = name.trim_end_matches('.');
    if name.ends_with(".in-addr.arpa") {
        return "IP.in-addr.arpa".to_owned();
    }
    if let Some((first, rest)) = name.split_once('.')
        && first.starts_with("ip-")
        && (rest.starts_with("ec2.") || rest.contains("compute.") || rest.starts_with("ec2"))
    {
        return format!("IP.{rest}");
    }
    let labels: Vec<&str> = name.split('.').collect();
    let public = labels.iter().position(|label| matches!(*label, "com" | "net" | "org" | "io"));
    match public {
        Some(place) if place > 0 && place + 1 < labels.len() => {
            let kept = labels.get(..=place).unwrap_or_default().join(".");
            format!("{kept}.search_path_suffix")
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn names_of_machines_and_search_paths_are_one() {
        assert_eq!(normalise("4.3.2.1.in-addr.arpa"), "IP.in-addr.arpa");
        assert_eq!(normalise("ip-10-0-0-1.ec2.internal"), "IP.ec2.internal");
        assert_eq!(
            normalise("api.example.com.default.svc.cluster.local"),
            "api.example.com.search_path_suffix"
        );
        assert_eq!(normalise("api.example.com."), "api.example.com");
        assert_eq!(normalise("redis.default.svc.cluster.local"), "redis.default.svc.cluster.local");
    }
}
