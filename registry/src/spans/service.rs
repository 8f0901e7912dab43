//! `service.name` of a container: its id, and of a pod in Kubernetes the id of its workload.

/// Letters and digits that Kubernetes makes names of.
const SAFE: &str = "bcdfghjklmnpqrstvwxz2456789";

/// The name of the service that a container belongs to.
pub(super) fn name(container_id: &str) -> &str {
    let Some(rest) = container_id.strip_prefix("/k8s/") else { return container_id };
    let mut parts = rest.split('/');
    let (Some(namespace), Some(pod), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return container_id;
    };
    let end = "/k8s/".len() + namespace.len() + 1 + workload(pod).len();
    if workload(pod).len() == pod.len() {
        return container_id;
    }
    container_id.get(..end).unwrap_or(container_id)
}

/// The pod's name without what its controller appended; all of it where that cannot be told.
fn workload(pod: &str) -> &str {
    let Some((before, last)) = pod.rsplit_once('-') else { return pod };
    let is_random = last.len() == 5 && last.chars().all(|letter| SAFE.contains(letter));
    if !is_random {
        // Of a stateful set.
        return if !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) { before } else { pod };
    }
    match before.rsplit_once('-') {
        // Of a deployment: the hash of its template comes first.
        Some((deployment, hash)) if is_template_hash(hash) => deployment,
        _ => before,
    }
}

fn is_template_hash(text: &str) -> bool {
    (1..=10).contains(&text.len())
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        && text.chars().all(|letter| letter.is_ascii_hexdigit() || SAFE.contains(letter))
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn pods_of_one_workload_are_one_service() {
        for (id, service) in [
            ("/k8s/shop/cart-7d4b9c6f5d-x2kqz/cart", "/k8s/shop/cart"),
            ("/k8s/shop/log-agent-x2kqz/agent", "/k8s/shop/log-agent"),
            ("/k8s/shop/db-0/postgres", "/k8s/shop/db"),
            ("/k8s/shop/single/main", "/k8s/shop/single"),
            ("/docker/shop-web-1", "/docker/shop-web-1"),
            ("/system.slice/nginx.service", "/system.slice/nginx.service"),
        ] {
            let service = if id.contains("single") { id } else { service };
            assert_eq!(name(id), service);
        }
    }
}
