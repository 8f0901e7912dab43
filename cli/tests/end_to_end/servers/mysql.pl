# Statements that the server prepares, some of them wrong when they are carried out.
# Prints how many were carried out, preparations included, and how many failed.
use strict;
use warnings;
use DBI;

my ($port, $tls) = @ARGV;
open(my $file, '<', 'password') or die;
chomp(my $password = <$file>);
my $ssl = $tls eq 'tls' ? ';mariadb_ssl=1;mariadb_ssl_ca_file=cert.pem' : '';
my $connection = DBI->connect("DBI:MariaDB:host=127.0.0.1;port=$port$ssl", 'tester', $password,
    { RaiseError => 0, PrintError => 0, mariadb_server_prepare => 1 }) or die $DBI::errstr;
# Four that the driver sets when it connects.
my ($done, $failed) = (4, 0);
my $select = $connection->prepare('SELECT * FROM shop.orders WHERE id < ?') or die;
my $insert = $connection->prepare('INSERT INTO shop.orders VALUES (?, ?)') or die;
$done += 2;
for my $number (1 .. 1000) {
    $select->execute($number % 7) or die;
    $select->fetchall_arrayref;
    # Every other one is there already.
    $insert->execute($number % 2 ? 100_000 + $number : 1, 'prepared') ? $done++ : $failed++;
    $done++;
}
$select->finish;
$insert->finish;
print "$done $failed\n";
