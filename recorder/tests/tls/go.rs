//! Programs in Go, with and without symbols.

use std::path::{Path, PathBuf};
use std::process::Command;

use aftertrace_recorder::tls::points::{NoPoints, Points, Role, Stack};

use super::binutils::{assert_is_as_disassembled, disassemble, disassemble_range, find, only};
use super::build::{run, write};

const PROGRAM: &str = r#"package main

import (
	"crypto/tls"
	"os"
)

func main() {
	connection, err := tls.Dial("tcp", os.Args[1], &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		os.Exit(1)
	}
	connection.Write([]byte("ping"))
	connection.Read(make([]byte, 4))
}
"#;

const PLAIN: &str = "package main\n\nfunc main() { println(1) }\n";

const WITH_C: &str =
    "package main\n\n// int one(void) { return 1; }\nimport \"C\"\n\nfunc init() { C.one() }\n";

struct Project {
    directory: tempfile::TempDir,
    go: PathBuf,
}

impl Project {
    fn new(go: &Path, files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "go.mod", "module example.com/program\n\ngo 1.19\n");
        for (name, text) in files {
            write(directory.path(), name, text);
        }
        Self { directory, go: go.to_owned() }
    }

    fn build(&self, name: &str, environment: &[(&str, &str)], flags: &[&str]) -> PathBuf {
        let output = self.directory.path().join(name);
        let mut command = Command::new(&self.go);
        command.args(["build", "-o"]).arg(&output).args(flags).arg(".").current_dir(self.directory.path());
        command.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-buildvcs=false").env("CGO_ENABLED", "0");
        run(command.envs(environment.iter().copied()));
        output
    }
}

/// The compilers that there are.
fn compilers() -> Vec<PathBuf> {
    let versions = ["1.19", "1.20", "1.21", "1.22", "1.23", "1.24"];
    let mut found: Vec<PathBuf> =
        versions.iter().map(|version| PathBuf::from(format!("/usr/lib/go-{version}/bin/go"))).collect();
    found.retain(|path| path.exists());
    found.insert(0, PathBuf::from("go"));
    found
}

fn only_points(file: &Path) -> Points {
    let mut found = find(file).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Distances of the return instructions from the entry.
fn distances(points: &Points, role: Role) -> Vec<u64> {
    let function = only(points, role);
    function.return_offsets.iter().map(|at| at - function.entry_offset).collect()
}

#[test]
fn a_go_program_has_the_same_points_with_symbols_without_and_at_any_address() {
    for go in compilers() {
        let project = Project::new(&go, &[("main.go", PROGRAM)]);
        let plain = project.build("plain", &[], &[]);
        let points = only_points(&plain);
        assert_eq!(points.stack, Stack::Go);
        let version = Command::new(&go).arg("version").env("GOTOOLCHAIN", "local").output().unwrap();
        let version = String::from_utf8(version.stdout).unwrap();
        assert_eq!(points.version.as_deref(), version.split(' ').nth(2), "{go:?}");
        for role in [Role::Read, Role::Write] {
            assert_is_as_disassembled(&plain, only(&points, role));
        }
        let with_c = Project::new(&go, &[("main.go", PROGRAM), ("c.go", WITH_C)]);
        let c: &[(&str, &str)] = &[("CGO_ENABLED", "1")];
        let programs = [
            project.build("stripped", &[], &["-ldflags=-s -w"]),
            project.build("pie", &[], &["-buildmode=pie", "-ldflags=-s -w"]),
            with_c.build("c", c, &["-ldflags=-s -w"]),
            with_c.build("c-pie", c, &["-buildmode=pie", "-ldflags=-s -w"]),
        ];
        for program in programs {
            let stripped = only_points(&program);
            assert_eq!(stripped.version, points.version);
            for role in [Role::Read, Role::Write] {
                assert_eq!(distances(&stripped, role), distances(&points, role), "{program:?} of {go:?}");
                assert_is_as_by_objdump(&program, &plain, &stripped, role);
            }
        }
    }
}

/// The instructions at the entry that was found are those of the function that has a symbol in another file.
fn assert_is_as_by_objdump(stripped: &Path, plain: &Path, points: &Points, role: Role) {
    let function = only(points, role);
    let expected = disassemble(plain, &function.name);
    let address = address_of(stripped, function.entry_offset);
    let found = disassemble_range(stripped, address, expected.returns.last().unwrap() + 1 - expected.entry);
    assert_eq!(found.entry, function.entry_offset);
    assert_eq!(found.returns, function.return_offsets);
    let mnemonics = |lines: &[String]| -> Vec<String> {
        lines.iter().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
    };
    let count = found.lines.len();
    assert_eq!(mnemonics(&found.lines), mnemonics(&expected.lines[..count]));
}

/// What readelf says of the segment that is code.
fn address_of(file: &Path, offset: u64) -> u64 {
    let output = Command::new("readelf").args(["-W", "-l"]).arg(file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let number = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap();
    for line in text.lines().filter(|line| line.trim_start().starts_with("LOAD") && line.contains(" E ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (start, address, bytes) = (number(words[1]), number(words[2]), number(words[4]));
        if (start..start + bytes).contains(&offset) {
            return offset - start + address;
        }
    }
    panic!("offset {offset} is in no code of {text}");
}

#[test]
fn a_go_program_for_aarch64_has_the_points_that_go_shows() {
    let project = Project::new(Path::new("go"), &[("main.go", PROGRAM)]);
    let plain = project.build("plain", &[("GOARCH", "arm64")], &[]);
    let points = only_points(&plain);
    for (role, name) in [(Role::Read, "Read"), (Role::Write, "Write")] {
        let mut command = Command::new("go");
        let symbol = format!(r"^crypto/tls\.\(\*Conn\)\.{name}$");
        let output = command.args(["tool", "objdump", "-s", &symbol]).arg(&plain).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let function = only(&points, role);
        let lines = text.lines().filter(|line| line.starts_with("  "));
        let mut entry = None;
        let mut returns = Vec::new();
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let address = u64::from_str_radix(words[1].trim_start_matches("0x"), 16).unwrap();
            let entry = *entry.get_or_insert(address);
            if words[3] == "RET" {
                returns.push(address - entry);
            }
        }
        assert_eq!(distances(&points, role), returns, "{text}");
        assert_eq!(address_of(&plain, function.entry_offset), entry.unwrap());
    }
    let stripped = project.build("stripped", &[("GOARCH", "arm64")], &["-ldflags=-s -w"]);
    let stripped = only_points(&stripped);
    for role in [Role::Read, Role::Write] {
        assert_eq!(distances(&stripped, role), distances(&points, role));
    }
}

#[test]
fn a_go_program_without_tls_has_no_points() {
    let project = Project::new(Path::new("go"), &[("main.go", PLAIN)]);
    assert_eq!(find(&project.build("plain", &[], &[])), Err(NoPoints::NotTls));
    assert_eq!(find(&project.build("stripped", &[], &["-ldflags=-s -w"])), Err(NoPoints::NotTls));
}

#[test]
fn a_go_program_without_names_of_sections_is_searched_for_its_tables() {
    let project = Project::new(Path::new("go"), &[("main.go", PROGRAM)]);
    for flags in [&["-ldflags=-s -w"][..], &["-ldflags=-s -w", "-buildmode=pie"]] {
        let program = project.build("program", &[], flags);
        let expected = only_points(&program);
        let mut bytes = std::fs::read(&program).unwrap();
        // Offset, count and index of names of the table of sections.
        bytes[40..48].fill(0);
        bytes[60..64].fill(0);
        std::fs::write(&program, bytes).unwrap();
        assert_eq!(only_points(&program), expected);
    }
}

/// Both ends of a connection in one program; it waits for a line first.
const TALKER: &str = r#"package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"os"
)

func check(err error) {
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
}

func main() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(err)
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	bufio.NewReader(os.Stdin).ReadString('\n')
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	check(err)
	done := make(chan bool)
	go func() {
		connection, err := listener.Accept()
		check(err)
		for index := 0; index < 100; index++ {
			bytes := make([]byte, 10+index)
			_, err := io.ReadFull(connection, bytes)
			check(err)
			_, err = connection.Write(append(bytes, bytes...))
			check(err)
		}
		done <- true
	}()
	connection, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	check(err)
	for index := 0; index < 100; index++ {
		_, err := connection.Write(make([]byte, 10+index))
		check(err)
		_, err = io.ReadFull(connection, make([]byte, 20+2*index))
		check(err)
	}
	<-done
}
"#;

/// A program, which is there as long as this is.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    _project: Project,
}

/// Programs that talk, with symbols and without.
pub(crate) fn talkers() -> Vec<Program> {
    let mut programs = Vec::new();
    for go in compilers() {
        for flags in [&[][..], &["-ldflags=-s -w"], &["-ldflags=-s -w", "-buildmode=pie"]] {
            let project = Project::new(&go, &[("main.go", TALKER)]);
            let path = project.build("talker", &[], flags);
            programs.push(Program { path, _project: project });
        }
    }
    programs
}
