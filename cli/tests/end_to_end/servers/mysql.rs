//! MariaDB, as its clients have it.

use super::{PYTHON, assert_requests, beside};
use crate::protocols::{assert_nowhere, has, record_script, written};
use crate::support::{Trace, needs_recording};
use crate::tls::with_certificate;

const METRICS: [&str; 2] = ["container_mysql_queries_total", "container_mysql_inbound_queries_total"];

/// A server on this port, asked by PyMySQL (text), by DBD::MariaDB (prepared by the server) and by its own client, with
/// what that one is told.
fn recorded(port: u16, is_tls: bool, of_client: &str) -> Trace {
    let (text, prepared) = (beside("mysql.py"), beside("mysql.pl"));
    let tls = if is_tls { "tls" } else { "plain" };
    let script = with_certificate(&format!(
        r#"
# In no argument, and not in this text, which is recorded.
password=Planted; password=${{password}}InLogins
echo $password > password
mkdir tmp
mariadb-install-db --no-defaults --datadir=$DIRECTORY/data --auth-root-authentication-method=normal > install.log 2>&1
printf "CREATE USER tester@'%%' IDENTIFIED BY '%s'; GRANT ALL ON *.* TO tester@'%%'" $password > users.sql
mariadbd --no-defaults --user=root --datadir=$DIRECTORY/data --bind-address=127.0.0.1 --port={port} --tmpdir=$DIRECTORY/tmp \
    --socket=$DIRECTORY/socket --skip-name-resolve --skip-log-bin --innodb-flush-log-at-trx-commit=0 --local-infile=1 \
    --ssl-cert=$DIRECTORY/cert.pem --ssl-key=$DIRECTORY/key.pem > server.log 2>&1 & server=$!
trap 'kill $server; wait $server || true' EXIT
until mariadb --no-defaults -u root -S socket -e 'SELECT 1' > /dev/null 2>&1; do kill -0 $server; sleep 0.1; done
mariadb --no-defaults -u root -S socket < users.sql
printf '[client]\nhost=127.0.0.1\nport={port}\nuser=tester\npassword=%s\n' $password > client.cnf
{PYTHON} {text} {port} {tls} > text
perl {prepared} {port} {tls} > prepared
(printf "SET PASSWORD FOR tester@'%%' = PASSWORD('%s');\n" $password
 for i in $(seq 500); do echo "SELECT $i;"; echo 'SELECT nothing FROM nowhere;'; done
 for i in $(seq 20); do echo 'SELECT * FROM shop.orders;'; done) |
    mariadb --defaults-file=client.cnf {of_client} --force > client.log 2>&1
"#
    ));
    record_script(&script, &[])
}

fn assert_as_the_clients_have_it(trace: &Trace) {
    let (mut done, mut failed) = (521.0, 500.0);
    for client in ["text", "prepared"] {
        let said = written(trace, client);
        let numbers: Vec<f64> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
        done += numbers[0];
        failed += numbers[1];
    }
    assert!(done > 5_000.0 && failed > 2_000.0, "{done} {failed}");
    assert_requests(trace, METRICS, &[("ok", done), ("failed", failed)]);
    assert_nowhere(trace, "PlantedInLogins");
}

fn has_all() -> bool {
    has("mariadbd") && has("mariadb") && has("perl") && has("openssl")
}

#[test]
fn statements_of_mariadb_are_those_of_its_clients() {
    needs_recording!();
    if has_all() {
        assert_as_the_clients_have_it(&recorded(21010, false, "--skip-ssl"));
    }
}

#[test]
fn statements_of_mariadb_inside_tls_are_those_of_its_clients() {
    needs_recording!();
    if has_all() {
        let trace = recorded(21011, true, "--ssl");
        assert_as_the_clients_have_it(&trace);
        assert!(trace.number("SELECT count(*) FROM socket_data WHERE tls") > 20_000);
    }
}
