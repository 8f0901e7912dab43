//! What an application is, by its command line and program file.

/// How a rule looks at a process.
enum Rule {
    /// The program's name is one of these.
    Named(&'static [&'static str]),
    /// Some argument has one of these in it.
    Mentions(&'static [&'static str]),
    /// The program's name is the first and some argument has the second in it.
    NamedAndMentions(&'static str, &'static str),
    /// The program's name has one of these in it.
    NameContains(&'static [&'static str]),
}

/// The first rule that fits gives the type. Those by arguments stand before `java`.
const RULES: &[(&str, Rule)] = &[
    ("coroot-community-edition", Rule::Named(&["coroot"])),
    ("coroot-enterprise-edition", Rule::Named(&["coroot-ee"])),
    ("coroot-node-agent", Rule::Named(&["coroot-node-agent"])),
    ("coroot-cluster-agent", Rule::Named(&["coroot-cluster-agent"])),
    ("coroot-operator", Rule::Named(&["coroot-operator"])),
    ("memcached", Rule::Named(&["memcached"])),
    ("envoy", Rule::Named(&["envoy"])),
    ("elasticsearch", Rule::Mentions(&["org.elasticsearch.bootstrap"])),
    ("opensearch", Rule::Mentions(&["org.opensearch.bootstrap"])),
    ("kafka", Rule::Mentions(&["kafka.Kafka", "io.confluent.support.metrics.SupportedKafka"])),
    ("mongodb", Rule::Named(&["mongod"])),
    ("mongos", Rule::Named(&["mongos"])),
    ("mysql", Rule::Named(&["mysqld", "mariadbd"])),
    ("mssql", Rule::Named(&["sqlservr"])),
    ("zookeeper", Rule::Mentions(&["QuorumPeerMain"])),
    ("redis", Rule::Named(&["redis-server"])),
    ("redis-sentinel", Rule::Named(&["redis-sentinel"])),
    ("keydb", Rule::Named(&["keydb-server", "keydb"])),
    ("valkey", Rule::Named(&["valkey-server", "valkey"])),
    ("dragonfly", Rule::Named(&["dragonfly"])),
    ("rabbitmq", Rule::NamedAndMentions("beam.smp", "rabbit")),
    ("couchbase", Rule::NamedAndMentions("beam.smp", "couch")),
    ("pgbouncer", Rule::Named(&["pgbouncer"])),
    ("postgres", Rule::Named(&["postgres"])),
    ("haproxy", Rule::Named(&["haproxy"])),
    ("nginx", Rule::Named(&["nginx"])),
    ("dotnet", Rule::Named(&["w3wp"])),
    ("dotnet", Rule::NamedAndMentions("dotnet", ".dll")),
    ("kubelet", Rule::Named(&["kubelet"])),
    ("kube-apiserver", Rule::Named(&["kube-apiserver"])),
    ("kube-controller-manager", Rule::Named(&["kube-controller-manager"])),
    ("kube-scheduler", Rule::Named(&["kube-scheduler"])),
    ("k3s", Rule::Named(&["k3s"])),
    ("etcd", Rule::Named(&["etcd"])),
    ("dockerd", Rule::Named(&["dockerd"])),
    ("consul", Rule::Named(&["consul"])),
    ("cassandra", Rule::Mentions(&["CassandraDaemon"])),
    ("clickhouse", Rule::Named(&["clickhouse-server"])),
    ("traefik", Rule::Named(&["traefik"])),
    ("aerospike", Rule::Named(&["asd"])),
    ("httpd", Rule::Named(&["httpd", "apache", "apache2"])),
    ("influxdb", Rule::Named(&["influxd"])),
    ("tomcat", Rule::Mentions(&["org.apache.catalina.startup.Bootstrap"])),
    ("vault", Rule::Named(&["vault"])),
    ("proxysql", Rule::Named(&["proxysql"])),
    ("cockroach", Rule::Named(&["cockroach"])),
    ("prometheus", Rule::Named(&["prometheus"])),
    ("ceph", Rule::Named(&["ceph-mon", "ceph-mgr", "ceph-osd", "cephcsi"])),
    ("rook", Rule::Named(&["rook"])),
    ("nats", Rule::Named(&["nats-server"])),
    ("java", Rule::Named(&["java"])),
    ("ollama", Rule::Named(&["ollama"])),
    ("foundationdb", Rule::Named(&["fdbserver"])),
    ("victoria-metrics", Rule::NameContains(&["victoria-metrics", "vmstorage", "vminsert", "vmselect"])),
    ("victoria-logs", Rule::NameContains(&["victoria-logs"])),
];

/// Interpreters come with versions in their names: php-fpm8.2, python3.11, nodejs22, ruby3.
const INTERPRETERS: &[(&str, &[&str])] = &[
    ("php", &["php-fpm", "php-cgi", "php"]),
    ("python", &["python"]),
    ("nodejs", &["nodejs", "node"]),
    ("ruby", &["ruby"]),
];

/// The type, such as `postgres`, of a process with these arguments that runs this program file; `None` when unknown.
///
/// The program's name is the last part of the path in the first word of the first argument, without a colon behind
/// it (`postgres: writer`). Interpreters are also found by the program file.
pub fn application_type(arguments: &[String], executable: Option<&str>) -> Option<&'static str> {
    let command =
        arguments.first().and_then(|argument| argument.split_whitespace().next()).unwrap_or_default();
    let name = base_name(command.trim_end_matches(':'));
    RULES
        .iter()
        .find(|(_, rule)| rule.fits(name, arguments))
        .map(|(application, _)| *application)
        .or_else(|| interpreter(name))
        .or_else(|| interpreter(base_name(executable?)))
}

impl Rule {
    fn fits(&self, name: &str, arguments: &[String]) -> bool {
        let mentions = |part: &str| arguments.iter().any(|argument| argument.contains(part));
        match self {
            Self::Named(names) => names.contains(&name),
            Self::Mentions(parts) => parts.iter().any(|part| mentions(part)),
            Self::NamedAndMentions(is, part) => name == *is && mentions(part),
            Self::NameContains(parts) => parts.iter().any(|part| name.contains(part)),
        }
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn interpreter(name: &str) -> Option<&'static str> {
    let is_version = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    INTERPRETERS
        .iter()
        .find(|(_, names)| names.iter().any(|own| name.strip_prefix(own).is_some_and(is_version)))
        .map(|(application, _)| *application)
}

#[cfg(test)]
mod tests;
