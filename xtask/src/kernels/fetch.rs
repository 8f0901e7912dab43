//! Debian's cloud kernels, taken out of their packages and kept in the cache; nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::host;

/// Kernels that can be had, the oldest first.
pub(crate) const VERSIONS: [&str; 3] = ["5.10", "6.1", "6.12"];

const SUITES: [(&str, &str); 3] = [("5.10", "bullseye"), ("6.1", "bookworm"), ("6.12", "trixie")];

const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";

/// Where a suite is when its support has ended and the mirrors have dropped it.
const ARCHIVE: &str = "http://archive.debian.org/debian";

/// Depends on the newest kernel of its suite.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// A kernel to boot.
pub(crate) struct Kernel {
    /// Of [`VERSIONS`].
    pub(crate) version: &'static str,
    /// The bzImage.
    pub(crate) image: PathBuf,
    /// As `uname -r` gives it there.
    pub(crate) release: String,
}

/// The kernel `version` from the cache, downloaded when it is not there.
///
/// # Errors
/// When Debian has no such kernel or it cannot be downloaded.
pub(crate) fn kernel(version: &str) -> Result<Kernel> {
    let Some(&(version, suite)) = SUITES.iter().find(|(known, _)| *known == version) else {
        bail!("no kernel {version}; there are {}", VERSIONS.join(", "));
    };
    let directory = host::cache("kernels")?.join(version);
    if let Some(kernel) = taken_apart(version, &directory) {
        return Ok(kernel);
    }
    download_to(&directory, suite).with_context(|| help(version, suite, &directory))?;
    taken_apart(version, &directory).with_context(|| format!("the package of {suite} has no vmlinuz"))
}

/// What to do when the download fails, above the reason.
fn help(version: &str, suite: &str, directory: &Path) -> String {
    format!(
        "there is no kernel {version} in the cache, and it cannot be downloaded.\n\
         Try again (the mirror is that of this host's sources.list; http_proxy is heeded), or put the vmlinuz-* of\n\
         any Debian package linux-image-{version}.*-cloud-amd64 ({suite}) into\n  {directory}\n\
         or leave this kernel out with --kernel. What failed",
        directory = directory.display(),
    )
}

fn taken_apart(version: &'static str, directory: &Path) -> Option<Kernel> {
    fs::read_dir(directory).ok()?.flatten().find_map(|entry| {
        let release = entry.file_name().to_string_lossy().strip_prefix("vmlinuz-")?.to_owned();
        Some(Kernel { version, image: entry.path(), release })
    })
}

fn download_to(directory: &Path, suite: &str) -> Result<()> {
    let mirror = mirror();
    let work = match download(&mirror, suite) {
        Ok(work) => work,
        Err(error) => download(ARCHIVE, suite)
            .with_context(|| format!("{error:#}\nand from the archive of old suites"))?,
    };
    // The cache may be on another file system, so first beside the place, and there only when it is whole.
    let beside = directory.with_file_name(format!("{suite}.part"));
    copy_files(&work.join("package/boot"), &beside)?;
    fs::rename(&beside, directory).with_context(|| format!("cannot write {}", directory.display()))?;
    fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Leaves the package, taken apart, in `package/` of the directory that it returns.
fn download(mirror: &str, suite: &str) -> Result<PathBuf> {
    println!("kernels: downloading the kernel of {suite} from {mirror}");
    let work = host::scratch("kernel-download")?;
    for directory in ["state/lists/partial", "cache/archives/partial", "package"] {
        fs::create_dir_all(work.join(directory))?;
    }
    fs::write(work.join("apt.conf"), configuration(&work))?;
    fs::write(work.join("sources.list"), format!("deb {mirror} {suite} main\n"))?;
    host::text(apt("apt-get", &work).args(["update", "-qq"]))?;
    let meta = host::text(apt("apt-cache", &work).args(["show", META_PACKAGE]))?;
    let package = dependency(&meta).with_context(|| format!("{META_PACKAGE} depends on no kernel"))?;
    host::text(apt("apt-get", &work).args(["download", "-qq", &package]))?;
    let archive = fs::read_dir(&work)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "deb"));
    let archive = archive.with_context(|| format!("apt-get download left no {package}"))?;
    host::run(Command::new("dpkg-deb").arg("-x").arg(archive).arg(work.join("package")))?;
    Ok(work)
}

/// apt with the configuration of this download.
fn apt(program: &str, work: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(work).arg("-c").arg(work.join("apt.conf"));
    command
}

/// Sources, lists and cache of its own: what this host has is neither read nor changed.
fn configuration(work: &Path) -> String {
    format!(
        "Dir::Etc::sourcelist \"{work}/sources.list\";\n\
         Dir::Etc::sourceparts \"/dev/null\";\n\
         Dir::State \"{work}/state\";\n\
         Dir::State::status \"/dev/null\";\n\
         Dir::Cache \"{work}/cache\";\n\
         APT::Architecture \"amd64\";\n\
         // The directory may belong to root alone, which apt's own user cannot enter.\n\
         APT::Sandbox::User \"root\";\n\
         // Else a list that cannot be had is only a warning.\n\
         APT::Update::Error-Mode \"any\";\n\
         // Nobody signs the lists of an old suite anew.\n\
         Acquire::Check-Valid-Until \"false\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n",
        work = work.display(),
    )
}

/// The mirror that this host uses for Debian itself.
fn mirror() -> String {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    files.extend(
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path()),
    );
    files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .find_map(|text| mirror_of(&text))
        .unwrap_or(DEFAULT_MIRROR.to_owned())
}

/// The first address of Debian's main archive in a list of sources, of either format.
fn mirror_of(sources: &str) -> Option<String> {
    let words =
        sources.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    words
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.starts_with("http") && word.ends_with("/debian"))
        .map(str::to_owned)
}

/// The package of the kernel that the newest version of the meta package depends on.
fn dependency(show: &str) -> Option<String> {
    let depends = show.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    depends.split([' ', ',']).find(|word| word.starts_with("linux-image-")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_read_from_both_formats() {
        let one_line = "# deb http://old.example/debian stable main\ndeb [signed-by=/k] http://a.example/debian/ stable main";
        assert_eq!(mirror_of(one_line).as_deref(), Some("http://a.example/debian"));
        let stanza = "Types: deb\nURIs: https://b.example/debian\nSuites: stable\n";
        assert_eq!(mirror_of(stanza).as_deref(), Some("https://b.example/debian"));
        assert_eq!(mirror_of("deb http://c.example/debian-security stable main"), None);
    }

    #[test]
    fn the_kernel_is_the_one_that_the_meta_package_names() {
        let show =
            "Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)\n";
        assert_eq!(dependency(show).as_deref(), Some("linux-image-6.1.0-50-cloud-amd64"));
    }
}
