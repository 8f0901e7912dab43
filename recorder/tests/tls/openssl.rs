//! OpenSSL in a library and in programs, BoringSSL, GnuTLS.

use std::path::{Path, PathBuf};
use std::process::Command;

use aftertrace_recorder::tls::points::{NoPoints, Role, Stack};

use super::binutils::{assert_is_as_disassembled, disassemble, find, only};
use super::build::{run, write};

fn library(name: &str) -> PathBuf {
    Path::new("/usr/lib/x86_64-linux-gnu").join(name)
}

#[test]
fn every_function_of_libssl_is_as_objdump_shows_it() {
    let libssl = library("libssl.so.3");
    let found = find(&libssl).unwrap();
    assert_eq!(found.len(), 1);
    let points = &found[0];
    assert_eq!(points.stack, Stack::OpenSsl);
    assert!(points.version.as_deref().unwrap().starts_with("OpenSSL 3."), "{points:?}");
    assert_eq!(points.skipped, []);
    for role in [Role::Read, Role::Write, Role::ReadEx, Role::WriteEx] {
        assert_is_as_disassembled(&libssl, only(points, role));
    }
    // It can end in a jump through a pointer of the session.
    let handshake = only(points, Role::Handshake);
    assert_eq!(handshake.return_offsets, disassemble(&libssl, "SSL_do_handshake").returns);
    assert_eq!(handshake.exits_unseen.len(), 1, "{handshake:?}");
    assert_eq!(only(points, Role::SetFd).entry_offset, disassemble(&libssl, "SSL_set_fd").entry);
    assert_eq!(only(points, Role::Free).entry_offset, disassemble(&libssl, "SSL_free").entry);
}

#[test]
fn a_library_beside_tls_is_none() {
    for name in ["libcrypto.so.3", "libc.so.6", "libcurl.so.4"] {
        assert_eq!(find(&library(name)), Err(NoPoints::NotTls), "{name}");
    }
}

const PROGRAM: &str = "
#include <openssl/ssl.h>
int main(int argc, char **argv) {
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    SSL *session = SSL_new(context);
    size_t size = 0;
    char bytes[8];
    SSL_set_fd(session, OpenSSL_version(argc)[0]);
    SSL_read(session, bytes, 8);
    SSL_read_ex(session, bytes, 8, &size);
    SSL_write(session, argv[0], 1);
    return SSL_write_ex(session, argv[0], 1, &size);
}";

#[test]
fn openssl_is_found_in_a_program_that_it_is_linked_into_and_missed_with_a_reason_once_stripped() {
    let directory = tempfile::tempdir().unwrap();
    let source = write(directory.path(), "program.c", PROGRAM);
    let program = directory.path().join("program");
    run(Command::new("gcc")
        .arg("-o")
        .arg(&program)
        .arg(&source)
        .args(["-static", "-lssl", "-lcrypto", "-w"]));
    let found = find(&program).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].stack, Stack::OpenSsl);
    let version = Command::new("openssl").arg("version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let numbers = version.split(' ').nth(1).unwrap();
    let numbers = numbers.rsplit_once('.').unwrap().0;
    assert!(found[0].version.as_deref().unwrap().starts_with(&format!("OpenSSL {numbers}.")), "{found:?}");
    for role in [Role::Read, Role::Write, Role::ReadEx, Role::WriteEx] {
        assert_is_as_disassembled(&program, only(&found[0], role));
    }
    run(Command::new("strip").arg(&program));
    assert_eq!(find(&program), Err(NoPoints::Stripped(Stack::OpenSsl)));
}

/// A build of OpenSSL in which `SSL_write_ex` is nothing but a call of `SSL_write_ex2`, as from version 3.3 on.
const LATER: &str = "
int handshakes;
__attribute__((noinline)) int SSL_write_ex2(char *session, char *bytes, long size, long flags, long *written) {
    if (handshakes++) *written = size;
    return session[flags] + bytes[0];
}
int SSL_write_ex(char *session, char *bytes, long size, long *written) {
    return SSL_write_ex2(session, bytes, size, 0, written);
}
__attribute__((noinline)) int SSL_read(char *session, char *bytes, int size) {
    handshakes += session[0];
    return bytes[size];
}
int SSL_read_ex(char *session, char *bytes, long size, long *read) {
    int result = SSL_read(session, bytes, size);
    *read = result;
    return result > 0;
}";

#[test]
fn a_function_that_only_calls_another_is_left_to_that_one() {
    let directory = tempfile::tempdir().unwrap();
    let source = write(directory.path(), "later.c", LATER);
    for options in [["-O2", "-fno-plt"], ["-O2", "-fplt"], ["-O2", "-Wl,-Bsymbolic"], ["-O0", "-fplt"]] {
        let file = directory.path().join("libssl.so");
        let flags = ["-shared", "-fPIC", "-fno-ipa-icf", "-fno-ipa-cp"];
        run(Command::new("gcc").args(flags).args(options).arg("-o").arg(&file).arg(&source));
        let found = find(&file).unwrap();
        let names: Vec<&str> = found[0].functions.iter().map(|function| function.name.as_str()).collect();
        if options == ["-O2", "-fno-plt"] {
            // Calls go through a pointer of which only the loader knows where it leads to.
            assert_eq!(names, ["SSL_read", "SSL_read_ex", "SSL_write_ex", "SSL_write_ex2"], "{found:?}");
            assert_eq!(only(&found[0], Role::WriteEx).exits_unseen.len(), 1);
        } else {
            assert_eq!(names, ["SSL_read", "SSL_write_ex2"], "{options:?}: {found:?}");
        }
    }
}

/// OpenSSL 1.0.2 in small: the table of a method, and the jumps through it.
const EARLIER: &str = r#"
const char version[] = "OpenSSL 1.0.2q  20 Nov 2018";
typedef int (*function)();
struct method { int version; function begin[5], read, peek, write, between[4], read_bytes, write_bytes; };
int state;
__attribute__((noinline)) int ssl3_read_bytes(char *session) { return state += session[1]; }
__attribute__((noinline)) int ssl3_write_bytes(char *session) { return state += session[2]; }
__attribute__((noinline)) int ssl3_read(char *session) {
    int result = ssl3_read_bytes(session);
    return result < 0 ? state : result;
}
__attribute__((noinline)) int ssl3_write(struct method **session, char *bytes, int size) {
    if (size == 0) return state;
    return (*session)->write_bytes(session, bytes, size);
}
static const struct method table = { 0x303, {}, ssl3_read, 0, ssl3_write, {}, ssl3_read_bytes, ssl3_write_bytes };
const struct method *TLSv1_2_client_method(void) { return &table; }
int SSL_read(struct method **session, char *bytes, int size) {
    if (size < 0) return -1;
    return (*session)->read(session, bytes, size);
}
int SSL_write(struct method **session, char *bytes, int size) {
    if (size < 0) return -1;
    return (*session)->write(session, bytes, size);
}"#;

#[test]
fn early_functions_are_followed_through_the_table_of_the_protocol() {
    let directory = tempfile::tempdir().unwrap();
    let source = write(directory.path(), "earlier.c", EARLIER);
    let file = directory.path().join("libssl.so");
    // With symbols that others can replace, with such that they cannot, and in a program at one address.
    for options in [
        ["-fPIC", "-shared"],
        ["-fPIC", "-shared -Wl,-Bsymbolic"],
        ["-fno-pie", "-no-pie -nostdlib -Wl,-e,SSL_read"],
    ] {
        let mut command = Command::new("gcc");
        command
            .args(["-O2", "-w", "-fno-inline", "-fno-ipa-cp", "-fno-ipa-icf"])
            .arg(options[0])
            .args(options[1].split(' '));
        run(command.arg("-o").arg(&file).arg(&source));
        let returns = |names: &[&str]| -> Vec<u64> {
            let mut returns: Vec<u64> =
                names.iter().flat_map(|name| disassemble(&file, name).returns).collect();
            returns.sort_unstable();
            returns
        };
        let points = find(&file).unwrap();
        let (read, write) = (only(&points[0], Role::Read), only(&points[0], Role::Write));
        assert_eq!(read.return_offsets, returns(&["SSL_read", "ssl3_read"]), "{options:?}");
        assert_eq!(
            write.return_offsets,
            returns(&["SSL_write", "ssl3_write", "ssl3_write_bytes"]),
            "{options:?}"
        );
        assert_eq!((read.exits_unseen.len(), write.exits_unseen.len()), (0, 0), "{options:?}");
    }
}

#[test]
fn a_part_that_the_compiler_moved_away_and_a_function_at_the_end_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    let text = "
void fail(void) __attribute__((cold));
extern int state;
int state;
void __attribute__((noinline)) fail(void) { state++; }
static int __attribute__((noinline)) inner(char *session, char *bytes, int size) {
    for (int at = 0; at < size; at++) state += bytes[at];
    return session[state];
}
int SSL_write(char *session, char *bytes, int size) {
    if (__builtin_expect(size < 0, 0)) { fail(); state = 7; fail(); return -1; }
    state++;
    return inner(session, bytes, size);
}";
    let source = write(directory.path(), "cold.c", text);
    let file = directory.path().join("libssl.so");
    let flags = ["-shared", "-fPIC", "-O2", "-fno-ipa-ra", "-fno-inline", "-freorder-blocks-and-partition"];
    run(Command::new("gcc").args(flags).arg("-o").arg(&file).arg(&source));
    let points = find(&file).unwrap();
    let write = only(&points[0], Role::Write);
    let mut expected = disassemble(&file, "SSL_write").returns;
    expected.extend(disassemble(&file, "inner").returns);
    // The cold part has a symbol as long as there is a table for debugging.
    let cold = Command::new("nm").arg(&file).output().unwrap();
    if String::from_utf8(cold.stdout).unwrap().contains("SSL_write.cold") {
        expected.extend(disassemble(&file, "SSL_write.cold").returns);
    }
    expected.sort_unstable();
    assert_eq!(write.return_offsets, expected);
    assert_eq!(write.exits_unseen, Vec::<u64>::new());
    run(Command::new("strip").arg(&file));
    assert_eq!(
        *only(&find(&file).unwrap()[0], Role::Write),
        *write,
        "the same without a table for debugging"
    );
}

#[test]
fn aarch64_code_is_followed_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let source = write(directory.path(), "later.c", LATER);
    let file = directory.path().join("libssl.so");
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    let sysroot = PathBuf::from(String::from_utf8(sysroot.stdout).unwrap().trim());
    let linker = sysroot.join("lib/rustlib/x86_64-unknown-linux-gnu/bin/gcc-ld/ld.lld");
    let clangs = ["clang-19", "clang", "clang-18", "clang-17", "clang-16", "clang-15", "clang-14"];
    let clang = clangs.iter().find(|clang| Command::new(clang).arg("--version").output().is_ok()).unwrap();
    let mut command = Command::new(clang);
    command.args(["--target=aarch64-unknown-linux-gnu", "-shared", "-nostdlib", "-fPIC", "-O2"]);
    run(command.arg(format!("--ld-path={}", linker.display())).arg("-o").arg(&file).arg(&source));
    let points = find(&file).unwrap();
    // The jump to SSL_write_ex2 and the call of SSL_read go through stubs.
    let names: Vec<&str> = points[0].functions.iter().map(|function| function.name.as_str()).collect();
    assert_eq!(names, ["SSL_read", "SSL_write_ex2"], "{points:?}");
    let bytes = std::fs::read(&file).unwrap();
    for function in &points[0].functions {
        assert_eq!(function.exits_unseen, Vec::<u64>::new());
        assert!(!function.return_offsets.is_empty());
        for at in &function.return_offsets {
            assert_eq!(bytes[*at as usize..][..4], [0xc0, 0x03, 0x5f, 0xd6], "ret");
        }
    }
}

#[test]
fn boringssl_is_told_from_openssl() {
    let libssl = library("android/libssl.so.0");
    let found = find(&libssl).unwrap();
    assert_eq!(found[0].stack, Stack::BoringSsl);
    for role in [Role::Read, Role::Write, Role::Handshake] {
        assert_is_as_disassembled(&libssl, only(&found[0], role));
    }
}

#[test]
fn gnutls_ends_in_functions_that_have_no_symbols() {
    let gnutls = library("libgnutls.so.30");
    let found = find(&gnutls).unwrap();
    assert_eq!(found[0].stack, Stack::GnuTls);
    assert!(found[0].version.as_deref().unwrap().starts_with("GnuTLS 3."), "{found:?}");
    let write = only(&found[0], Role::Write);
    assert_eq!(write.name, "gnutls_record_send2", "gnutls_record_send is a jump to it");
    assert_is_as_disassembled(&gnutls, write);
    let read = only(&found[0], Role::Read);
    let own = disassemble(&gnutls, "gnutls_record_recv");
    assert_eq!(read.entry_offset, own.entry);
    assert_eq!(read.exits_unseen, Vec::<u64>::new());
    assert!(own.returns.iter().all(|at| read.return_offsets.contains(at)), "{read:?}");
    assert!(read.return_offsets.len() > own.returns.len(), "{read:?}");
}

#[test]
fn a_program_with_openssl_in_it_is_found_if_it_has_symbols() {
    let node = Path::new("/usr/bin/node");
    let symbols = Command::new("readelf").args(["-W", "--syms"]).arg(node).output().unwrap();
    let symbols = String::from_utf8_lossy(&symbols.stdout).into_owned();
    let is_inside = symbols.lines().any(|line| line.ends_with(" SSL_read") && !line.contains(" UND "));
    if !is_inside {
        assert_eq!(find(node), Err(NoPoints::NotTls), "its OpenSSL is the system's");
        return;
    }
    let found = find(node).unwrap();
    assert_eq!(found[0].stack, Stack::OpenSsl);
    for role in [Role::Read, Role::Write, Role::ReadEx, Role::WriteEx] {
        assert_is_as_disassembled(node, only(&found[0], role));
    }
}
