//! Compiles `src/bpf/main.bpf.c`. Needs clang 14 or newer and nothing else: no kernel headers, no libbpf.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

const CANDIDATES: [&str; 8] =
    ["clang", "clang-19", "clang-18", "clang-17", "clang-16", "clang-15", "clang-14", "clang-20"];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=src/bpf");
    println!("cargo::rerun-if-env-changed=CLANG");
    println!("cargo::rerun-if-env-changed=PATH");
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("cargo::error={reason}");
            ExitCode::FAILURE
        }
    }
}

fn compile() -> Result<(), String> {
    let clang = find_clang()?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo gave no OUT_DIR")?);
    let target = match env::var("CARGO_CFG_TARGET_ENDIAN").as_deref() {
        Ok("big") => "bpfeb",
        _ => "bpfel",
    };
    let output = Command::new(&clang)
        .current_dir("src/bpf")
        // Version 2 of the instruction set: what kernel 5.10 verifies well. Debug information gives the BTF.
        .args(["-target", target, "-mcpu=v2", "-O2", "-g", "-std=gnu11", "-c", "main.bpf.c"])
        .args(["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"])
        // The same object wherever it is built.
        .arg("-fdebug-compilation-dir=.")
        .arg("-o")
        .arg(out.join("programs.o"))
        .output()
        .map_err(|error| format!("cannot start {clang}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        println!("cargo::warning={line}");
    }
    Err(format!("{clang} cannot compile the eBPF programs"))
}

fn find_clang() -> Result<String, String> {
    if let Ok(named) = env::var("CLANG") {
        return Ok(named);
    }
    CANDIDATES.iter().find(|name| runs(name)).map(|name| (*name).to_owned()).ok_or_else(|| {
        "no clang found: the eBPF programs are compiled with clang 14 or newer (Debian and Ubuntu: apt-get install \
         clang; Fedora: dnf install clang), in PATH or named by the variable CLANG"
            .to_owned()
    })
}

fn runs(name: &str) -> bool {
    Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
}
