//! Images under the names of published ones, made from the programs that the testbed runs on loopback too: there is no registry here.
//!
//! Each offers what a compose file uses of the published image: entry point and command, user, folders that are written, variables, ports, and the program
//! that a health check calls. What is inside is an older or newer build of the same software.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::engine::Engine;
use crate::programs::Programs;
use crate::rabbit;

/// Variables by which kwokctl is told where programs are that it would otherwise download.
const KWOKCTL_FINDS: [(&str, &str); 6] = [
    ("KWOK_CONTROLLER_BINARY", "kwok"),
    ("KWOK_KUBECTL_BINARY", "kubectl"),
    ("KWOK_KUBE_APISERVER_BINARY", "kube-apiserver"),
    ("KWOK_KUBE_CONTROLLER_MANAGER_BINARY", "kube-controller-manager"),
    ("KWOK_KUBE_SCHEDULER_BINARY", "kube-scheduler"),
    ("KWOK_ETCD_BINARY", "etcd"),
];

/// Starts the cluster again when a part of it has ended, as the published image does.
const CLUSTER_ENTRY_POINT: &str = "#!/bin/sh
trap 'kwokctl stop cluster; exit 0' TERM INT
kwokctl create cluster \"$@\" || exit 1
while true; do
    sleep 10 & wait $!
    kwokctl start cluster
done
";

/// A published image that can be stood in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandIn {
    /// kwok's cluster: a control plane over plain HTTP on 8080, whose nodes and pods are simulated.
    Cluster,
    /// kubectl.
    Kubectl,
    /// RabbitMQ with its management plugin.
    Rabbit,
    /// Prometheus.
    Prometheus,
}

impl StandIn {
    /// Makes the image under this name.
    pub async fn make(self, engine: &Engine, image: &str) -> Result<()> {
        let folder = engine.subfolder(&format!("image-{self:?}"))?;
        let root = Root { folder: folder.clone() };
        let tools = engine.tools().clone();
        let settings = tokio::task::spawn_blocking(move || match self {
            Self::Cluster => root.cluster(&tools.kwokctl, &tools.kubectl),
            Self::Kubectl => root.kubectl(&tools.kubectl),
            Self::Rabbit => root.rabbit(),
            Self::Prometheus => root.prometheus(),
        });
        let settings = settings.await?.with_context(|| format!("cannot make what is in the image {image}"))?;
        engine.import(&folder, image, &settings).await?;
        fs::remove_dir_all(&folder).with_context(|| format!("cannot delete {}", folder.display()))
    }
}

/// What an image will hold, as a folder.
struct Root {
    folder: PathBuf,
}

impl Root {
    fn cluster(&self, kwokctl: &Path, kubectl: &Path) -> Result<Vec<String>> {
        let Programs { etcd, kube_apiserver, kube_scheduler, kube_controller_manager, kwok } = Programs::ensure()?;
        for program in [&etcd, &kube_apiserver, &kube_scheduler, &kube_controller_manager, &kwok, kwokctl, kubectl] {
            self.program(program, "/usr/local/bin")?;
        }
        self.busybox()?;
        self.folders(&["/tmp", "/root/.kwok/clusters", "/root/.kube"])?;
        self.file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644)?;
        self.file("/entrypoint.sh", CLUSTER_ENTRY_POINT, 0o755)?;
        let version = crate::programs::kubernetes_version()?;
        let mut settings = vec![
            "ENTRYPOINT [\"/entrypoint.sh\"]".to_owned(),
            "EXPOSE 8080".to_owned(),
            "ENV PATH=/usr/local/bin:/bin HOME=/root KWOK_RUNTIME=binary KWOK_KUBE_APISERVER_PORT=0 KWOK_KUBE_APISERVER_INSECURE_PORT=8080"
                .to_owned(),
            format!("ENV KWOK_KUBE_VERSION=v{version}"),
        ];
        settings.extend(KWOKCTL_FINDS.map(|(variable, program)| format!("ENV {variable}=/usr/local/bin/{program}")));
        Ok(settings)
    }

    fn kubectl(&self, kubectl: &Path) -> Result<Vec<String>> {
        self.program(kubectl, "/bin")?;
        self.folders(&["/tmp"])?;
        Ok(vec!["ENTRYPOINT [\"/bin/kubectl\"]".to_owned()])
    }

    fn rabbit(&self) -> Result<Vec<String>> {
        let scripts = rabbit::installed()?;
        let server = scripts.parent().and_then(Path::parent).context("RabbitMQ has no folder of its own")?;
        let erlang = Path::new("/usr/lib/erlang");
        for tree in [server, erlang] {
            self.tree(tree)?;
        }
        // The emulator, and what it opens while it runs.
        let programs: Vec<PathBuf> = files(erlang)?.into_iter().filter(|path| is_elf(path)).collect();
        self.libraries(&programs)?;
        self.busybox()?;
        for program in ["erl", "epmd", "escript"] {
            self.link(&erlang.join("bin").join(program), &format!("/usr/bin/{program}"))?;
        }
        // Erlang's scripts name their interpreter so.
        self.link(Path::new("/bin/busybox"), "/usr/bin/env")?;
        self.folders(&["/tmp", "/var/lib/rabbitmq", "/var/log/rabbitmq", "/root"])?;
        self.file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nrabbitmq:x:999:999::/var/lib/rabbitmq:/bin/sh\n", 0o644)?;
        self.file("/etc/rabbitmq/rabbitmq.conf", "loopback_users = none\nlog.console = true\n", 0o644)?;
        self.file("/etc/rabbitmq/enabled_plugins", "[rabbitmq_management].\n", 0o644)?;
        let scripts = scripts.parent().unwrap_or(server).display().to_string();
        Ok(vec![
            "CMD [\"rabbitmq-server\"]".to_owned(),
            "VOLUME /var/lib/rabbitmq".to_owned(),
            "EXPOSE 5672 15672".to_owned(),
            // The last makes the script become the broker, which then gets the signal to stop.
            format!("ENV PATH={scripts}:/usr/bin:/bin HOME=/var/lib/rabbitmq LANG=C.UTF-8 RUNNING_UNDER_SYSTEMD=true"),
        ])
    }

    fn prometheus(&self) -> Result<Vec<String>> {
        let Some(prometheus) = program("prometheus") else {
            bail!("Prometheus is missing. `cargo xtask setup` installs it when run as root; else `apt-get install prometheus`")
        };
        self.program(&prometheus, "/bin")?;
        self.busybox()?;
        self.folders(&["/tmp", "/prometheus", "/etc/prometheus"])?;
        Ok(vec![
            "ENTRYPOINT [\"/bin/prometheus\"]".to_owned(),
            "CMD [\"--config.file=/etc/prometheus/prometheus.yml\", \"--storage.tsdb.path=/prometheus\"]".to_owned(),
            "VOLUME /prometheus".to_owned(),
            "EXPOSE 9090".to_owned(),
            "ENV PATH=/bin".to_owned(),
        ])
    }

    /// A path of the image as one of this machine.
    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.folder.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn folders(&self, paths: &[&str]) -> Result<()> {
        for path in paths {
            let path = self.at(path);
            fs::create_dir_all(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        }
        Ok(())
    }

    fn file(&self, path: &str, text: &str, mode: u32) -> Result<()> {
        let path = self.at(path);
        make_parent(&path)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).with_context(|| format!("cannot set the mode of {}", path.display()))
    }

    fn link(&self, to: &Path, path: &str) -> Result<()> {
        let path = self.at(path);
        make_parent(&path)?;
        symlink(to, &path).with_context(|| format!("cannot make the link {}", path.display()))
    }

    /// A program and its libraries.
    fn program(&self, program: &Path, folder: &str) -> Result<()> {
        let name = program.file_name().with_context(|| format!("{} names no program", program.display()))?;
        copy(program, &self.at(folder).join(name))?;
        self.libraries(&[program.to_owned()])
    }

    /// A whole tree, where it is on this machine. Links stay links.
    fn tree(&self, tree: &Path) -> Result<()> {
        let to = self.at(tree);
        make_parent(&to)?;
        let status =
            Command::new("cp").args(["--archive", "--no-target-directory"]).arg(tree).arg(&to).status().context("cannot start cp")?;
        if !status.success() {
            bail!("cannot copy {} to {} ({status})", tree.display(), to.display());
        }
        Ok(())
    }

    /// A shell and the small programs that scripts use.
    fn busybox(&self) -> Result<()> {
        let busybox =
            program("busybox").context("busybox is missing; `cargo xtask setup` installs it, or `apt-get install busybox-static`")?;
        self.program(&busybox, "/bin")?;
        let output = Command::new(&busybox).arg("--list").output().context("cannot start busybox")?;
        for applet in String::from_utf8(output.stdout)?.lines().filter(|applet| *applet != "busybox") {
            self.link(Path::new("busybox"), &format!("/bin/{applet}"))?;
        }
        Ok(())
    }

    /// The libraries of programs, where they are on this machine.
    fn libraries(&self, programs: &[PathBuf]) -> Result<()> {
        // It fails when one of several is static, and still answers for the others.
        let output = Command::new("ldd").args(programs).output().context("cannot start ldd")?;
        let text = String::from_utf8(output.stdout)?;
        let found: BTreeSet<&str> = text.lines().filter_map(library).collect();
        for library in found {
            let to = self.at(library);
            if !to.exists() {
                copy(Path::new(library), &to)?;
            }
        }
        Ok(())
    }
}

/// Where a program is on this machine. Those of administrators are not on everybody's path.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The path in a line of ldd's: `libc.so.6 => /lib/libc.so.6 (0x1)` or `/lib64/ld.so (0x1)`.
fn library(line: &str) -> Option<&str> {
    let path = line.split_once(" => ").map_or(line, |(_, path)| path).trim_start().split_once(" (0x")?.0;
    path.starts_with('/').then_some(path)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            // Links lead to what is met elsewhere.
            match entry.file_type()? {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    Ok(found)
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read;
    let mut start = [0; 4];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"\x7fELF"
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    make_parent(to)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().with_context(|| format!("{} has no folder", path.display()))?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_prints() {
        let of = |line| library(line);
        assert_eq!(of("\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f44f08d8000)"), Some("/lib/x86_64-linux-gnu/libc.so.6"));
        assert_eq!(of("\t/lib64/ld-linux-x86-64.so.2 (0x00007f44f0ace000)"), Some("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(of("\tlinux-vdso.so.1 (0x00007f44f0acc000)"), None);
        assert_eq!(of("\tlibmissing.so => not found"), None);
        assert_eq!(of("\tstatically linked"), None);
        assert_eq!(of("/usr/bin/program:"), None);
    }
}
