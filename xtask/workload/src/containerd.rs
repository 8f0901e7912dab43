//! containerd, for real: a daemon of one's own, in a directory of one's own, without its Kubernetes part.
//!
//! Root only. Needs the packages containerd and busybox-static.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::service::{self, Service};

/// Its image, as [`Containerd::import_busybox`] names it.
pub const IMAGE: &str = "docker.io/library/aftertrace-test:1";

/// A daemon that lives as long as this. Dropping it removes its containers.
pub struct Containerd {
    service: Service,
    directory: PathBuf,
    /// Namespace and id of each container.
    containers: Vec<(String, String)>,
}

impl Containerd {
    /// Starts one with all its files in `directory`, and waits until it answers.
    ///
    /// # Errors
    /// With the last lines of its log when it does not start.
    pub fn start(directory: &Path) -> io::Result<Self> {
        let at = |name: &str| directory.join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            at("root"),
            at("state"),
            at("containerd.sock"),
            at("ttrpc.sock")
        );
        fs::write(directory.join("config.toml"), config)?;
        let service = Service::start(&mut command(directory), &directory.join("log"))?;
        let mut daemon = Self { service, directory: directory.to_owned(), containers: Vec::new() };
        daemon.wait()?;
        Ok(daemon)
    }

    /// Kills the daemon and starts it again; its containers live on.
    ///
    /// # Errors
    /// As [`Containerd::start`].
    pub fn restart(&mut self) -> io::Result<()> {
        self.service.kill();
        self.service = Service::start(&mut command(&self.directory), &self.directory.join("log"))?;
        self.wait()
    }

    fn wait(&mut self) -> io::Result<()> {
        let socket = self.socket();
        self.service.wait_for(|| ctr(&socket, &["version"]).is_ok())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("containerd.sock")
    }

    /// Process id of the daemon.
    pub fn pid(&self) -> u32 {
        self.service.pid()
    }

    /// Makes [`IMAGE`] of busybox, as `/bin/busybox`, and nothing else.
    ///
    /// # Errors
    /// When there is no busybox in PATH, or the daemon refuses.
    pub fn import_busybox(&self, namespace: &str) -> io::Result<()> {
        let image = self.directory.join("image");
        let blobs = image.join("blobs/sha256");
        fs::create_dir_all(&blobs)?;
        // Content is stored by its digest; a descriptor says what it is.
        let store = |kind: &str, content: &[u8]| -> io::Result<(String, String)> {
            let file = blobs.join("new");
            fs::write(&file, content)?;
            let text = service::output(Command::new("sha256sum").arg(&file))?;
            let digest = text.split_whitespace().next().unwrap_or_default().to_owned();
            fs::rename(&file, blobs.join(&digest))?;
            let size = content.len();
            let descriptor = format!(
                r#""mediaType":"application/vnd.oci.image.{kind}","digest":"sha256:{digest}","size":{size}"#
            );
            Ok((descriptor, digest))
        };
        let (layer, digest) = store("layer.v1.tar", &fs::read(service::pack_busybox(&self.directory)?)?)?;
        let config = format!(
            r#"{{"architecture":"{}","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}}}}"#,
            if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
        );
        let (config, _) = store("config.v1+json", config.as_bytes())?;
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{{config}}},"layers":[{{{layer}}}]}}"#
        );
        let (manifest, _) = store("manifest.v1+json", manifest.as_bytes())?;
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{{{manifest},"annotations":{{"io.containerd.image.name":"{IMAGE}"}}}}]}}"#
        );
        fs::write(image.join("index.json"), index)?;
        fs::write(image.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let archive = self.directory.join("image.tar");
        let mut tar = tar::Builder::new(fs::File::create(&archive)?);
        tar.append_dir_all(".", &image)?;
        tar.finish()?;
        let archive = archive.display().to_string();
        self.ctr(&["-n", namespace, "image", "import", "--snapshotter", "native", &archive]).map(drop)
    }

    /// Runs a container of [`IMAGE`] in the background.
    ///
    /// # Errors
    /// With what the client complained of.
    pub fn run(&mut self, namespace: &str, id: &str, flags: &[&str], command: &[&str]) -> io::Result<()> {
        let begin = ["-n", namespace, "run", "-d", "--snapshotter", "native"];
        self.containers.push((namespace.to_owned(), id.to_owned()));
        self.ctr(&[&begin, flags, &[IMAGE, id], command].concat()).map(drop)
    }

    /// Runs the client; gives what it printed.
    ///
    /// # Errors
    /// With what it complained of.
    pub fn ctr(&self, arguments: &[&str]) -> io::Result<String> {
        ctr(&self.socket(), arguments)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.service.signal("CONT");
        for (namespace, id) in &self.containers {
            let _ = self.ctr(&["-n", namespace, "task", "delete", "--force", id]);
            let _ = self.ctr(&["-n", namespace, "container", "delete", id]);
            service::remove_empty_cgroups(namespace);
        }
        self.service.end();
    }
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new("containerd");
    command.arg("--config").arg(directory.join("config.toml"));
    command
}

fn ctr(socket: &Path, arguments: &[&str]) -> io::Result<String> {
    service::output(Command::new("ctr").arg("--address").arg(socket).args(arguments))
}

/// What is not installed of that which [`Containerd`] needs; none when all is there.
pub fn missing() -> Option<String> {
    service::missing(&[
        ("containerd", "containerd"),
        ("ctr", "containerd"),
        ("runc", "runc"),
        ("busybox", "busybox-static"),
    ])
}
