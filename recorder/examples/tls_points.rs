//! Shows where a file's TLS functions begin and return: `cargo run --example tls_points -- /usr/bin/node`. A number is
//! taken as the id of a process, and all files that it executes are shown.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Instant;

use aftertrace_recorder::sources::Roots;
use aftertrace_recorder::tls::{libraries, points};

fn main() -> io::Result<()> {
    for argument in std::env::args().skip(1) {
        match argument.parse() {
            Ok(pid) => show_process(pid)?,
            Err(_) => show(Path::new(&argument), &File::open(&argument)?),
        }
    }
    Ok(())
}

fn show_process(pid: u32) -> io::Result<()> {
    let roots = Roots::default();
    for mapping in libraries::executed(&roots, pid)? {
        match libraries::open(&roots, pid, &mapping) {
            Ok(opened) => show(&mapping.path, &opened.file),
            Err(error) => println!("{}: {error}", mapping.path.display()),
        }
    }
    Ok(())
}

fn show(path: &Path, file: &File) {
    let started = Instant::now();
    let found = points::find(file);
    println!("{} ({} ms)", path.display(), started.elapsed().as_millis());
    match found {
        Err(reason) => println!("  {reason}"),
        Ok(found) => {
            for points in found {
                println!(
                    "  {} {}",
                    points.stack.name(),
                    points.version.as_deref().unwrap_or("of unknown version")
                );
                for function in points.functions {
                    println!(
                        "    {:?} {} at {:#x} returns at {:#x?} leaves unseen at {:#x?}",
                        function.role,
                        function.name,
                        function.entry_offset,
                        function.return_offsets,
                        function.exits_unseen
                    );
                }
                for (name, reason) in points.skipped {
                    println!("    not {name}: {reason}");
                }
            }
        }
    }
}
