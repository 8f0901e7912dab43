use super::*;

fn of(command_line: &[&str], executable: Option<&str>) -> Option<&'static str> {
    let arguments: Vec<String> = command_line.iter().map(|argument| (*argument).to_owned()).collect();
    application_type(&arguments, executable)
}

#[test]
fn servers_are_known_by_the_name_of_their_program() {
    for (command, expected) in [
        ("/usr/bin/memcached", "memcached"),
        ("/usr/sbin/mysqld", "mysql"),
        ("mariadbd", "mysql"),
        ("redis-server", "redis"),
        ("/usr/lib/postgresql/15/bin/postgres", "postgres"),
        ("postgres: writer process", "postgres"),
        ("nginx: master process nginx", "nginx"),
        ("/usr/sbin/apache2", "httpd"),
        ("ceph-osd", "ceph"),
        ("/victoria-metrics-prod", "victoria-metrics"),
        ("vmstorage", "victoria-metrics"),
        ("fdbserver", "foundationdb"),
        ("coroot-node-agent", "coroot-node-agent"),
    ] {
        assert_eq!(of(&[command], None), Some(expected), "{command}");
    }
}

#[test]
fn applications_on_a_virtual_machine_are_known_by_their_arguments() {
    for (arguments, expected) in [
        (["java", "org.elasticsearch.bootstrap.Elasticsearch"], "elasticsearch"),
        (["java", "org.opensearch.bootstrap.OpenSearch"], "opensearch"),
        (["java", "kafka.Kafka"], "kafka"),
        (["java", "org.apache.zookeeper.server.quorum.QuorumPeerMain"], "zookeeper"),
        (["java", "org.apache.cassandra.service.CassandraDaemon"], "cassandra"),
        (["java", "org.apache.catalina.startup.Bootstrap"], "tomcat"),
        (["java", "com.example.Main"], "java"),
        (["/usr/lib/erlang/bin/beam.smp", "rabbit@host"], "rabbitmq"),
        (["/usr/lib/erlang/bin/beam.smp", "couch_app"], "couchbase"),
        (["dotnet", "/app/Shop.dll"], "dotnet"),
    ] {
        assert_eq!(of(&arguments, None), Some(expected), "{arguments:?}");
    }
}

#[test]
fn interpreters_are_known_with_any_version_and_by_their_program_file() {
    for (command, expected) in [
        ("php-fpm8.2", "php"),
        ("php-fpm: pool www", "php"),
        ("python3.11", "python"),
        ("node", "nodejs"),
        ("ruby3", "ruby"),
    ] {
        assert_eq!(of(&[command], None), Some(expected), "{command}");
    }
    assert_eq!(of(&["gunicorn: master"], Some("/usr/bin/python3.11")), Some("python"));
    assert_eq!(of(&["./server"], Some("/opt/node-exporter")), None);
}

#[test]
fn names_that_merely_end_alike_are_not_mistaken() {
    assert_eq!(of(&["lighttpd"], None), None);
    assert_eq!(of(&["sh", "-c", "redis-server"], None), None);
    assert_eq!(of(&[], None), None);
    assert_eq!(of(&[""], Some("")), None);
}
