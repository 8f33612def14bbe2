//! A Docker engine of its own: own data, own socket, and own namespaces, so that nothing of it reaches the machine's network or outlives its test.
//!
//! Its ports are the ports of its own loopback. A compose file with fixed ports so runs unchanged beside whatever the machine has on them, and what a test
//! asks on those ports it asks from inside ([`Engine::inside`]). When the engine's first process ends, the kernel ends all others: containers too.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::process::Command;

use crate::cgroup;
use crate::owner::Owner;
use crate::part::{Part, Program};
use crate::programs::Tools;
use crate::run::Run;

const START_WITHIN: Duration = Duration::from_secs(60);

/// How long a command may take unless told otherwise: also on a machine under load, none of ours takes as long.
const COMMAND_WITHIN: Duration = Duration::from_secs(120);

/// What is needed and where it comes from.
const NEEDED: [(&str, &str); 6] = [
    ("dockerd", "docker.io"),
    ("docker", "docker.io, or docker-cli from Debian 13 on"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("busybox", "busybox-static"),
];

/// A running engine. It stops when dropped, with all of its containers, and also when its process panics or is killed.
pub struct Engine {
    // Dropped in this order: the processes, then the folder.
    part: Part,
    tools: Tools,
    run: Run,
}

impl Engine {
    /// Starts an engine without any image, and waits until it answers.
    ///
    /// # Errors
    /// This machine cannot run one; the text says what it lacks.
    pub async fn start() -> Result<Self> {
        possible()?;
        let tools = tokio::task::spawn_blocking(Tools::ensure).await??;
        let run = Run::open("engine")?;
        let folder = |name: &str| run.subfolder(name).map(|path| path.display().to_string());
        // The client's own settings, which are empty; a person's may name another engine or keys for registries.
        run.subfolder("client")?;
        let flags = [
            ("data-root", folder("data")?),
            ("exec-root", folder("exec")?),
            ("pidfile", run.folder().join("dockerd.pid").display().to_string()),
            ("host", format!("unix://{}", socket(&run).display())),
            // Every composition has a network of its own; the one for all would only be in the way.
            ("bridge", "none".to_owned()),
            // Documentation's range would be the right one, but is too small; this one is private and rarely used.
            ("default-address-pool", "base=10.213.0.0/16,size=24".to_owned()),
            ("cgroup-parent", format!("/{}", cgroup::name(run.folder()))),
            ("log-level", "warn".to_owned()),
        ];
        let flags: Vec<String> = flags.into_iter().map(|(flag, value)| format!("--{flag}={value}")).collect();
        let namespaces = ["--net", "--mount", "--ipc", "--uts", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];
        // A new network has its loopback off.
        let begin = ["sh", "-c", "ip link set lo up && exec dockerd \"$@\"", "dockerd"];
        let program = Program {
            name: "dockerd",
            path: PathBuf::from("unshare"),
            arguments: namespaces.into_iter().chain(begin).map(str::to_owned).chain(flags).collect(),
            environment: vec![("PATH".to_owned(), format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))],
        };
        let mut part = Part::start(&run, &program)?;
        let socket = socket(&run);
        let answers = async || tokio::net::UnixStream::connect(&socket).await.is_ok();
        part.until_ready(START_WITHIN, answers).await.context(
            "a Docker engine in namespaces of its own does not start on this machine: it needs network namespaces, overlayfs, and bridges with iptables",
        )?;
        Ok(Self { part, tools, run })
    }

    /// The folder with the engine's data and log.
    pub fn folder(&self) -> &Path {
        self.run.folder()
    }

    /// The programs that come with it.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Makes a folder that is deleted with the engine.
    pub fn subfolder(&self, name: &str) -> Result<PathBuf> {
        self.run.subfolder(name)
    }

    /// Runs `docker` to its end and answers what it printed.
    pub async fn docker<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<String> {
        self.to_end(self.command("docker".as_ref(), arguments), COMMAND_WITHIN).await
    }

    /// Runs `docker compose` on a file to its end and answers what it printed.
    pub async fn compose(&self, file: &Path, arguments: &[&str]) -> Result<String> {
        let all = [OsStr::new("--file"), file.as_os_str()].into_iter().chain(arguments.iter().map(OsStr::new));
        self.to_end(self.command(self.tools.compose.as_os_str(), all), COMMAND_WITHIN).await
    }

    /// Makes an image of what a folder holds, with settings such as `ENTRYPOINT ["/program"]`.
    pub async fn import(&self, folder: &Path, image: &str, settings: &[String]) -> Result<()> {
        let mut tar = Command::new("tar");
        tar.arg("--directory").arg(folder).args(["--create", "--numeric-owner", "--owner=0", "--group=0", "."]);
        let mut packing = tar.stdout(Stdio::piped()).kill_on_drop(true).spawn().context("cannot start tar")?;
        let packed: Stdio = packing.stdout.take().context("tar has no standard output")?.try_into()?;
        let settings = settings.iter().flat_map(|setting| ["--change", setting.as_str()]);
        let arguments = ["import"].into_iter().chain(settings).chain(["-", image]);
        let mut command = self.command("docker".as_ref(), arguments);
        command.stdin(packed);
        let imported = self.to_end(command, COMMAND_WITHIN).await;
        let status = packing.wait().await.context("tar was lost")?;
        imported.with_context(|| format!("cannot make the image {image}"))?;
        if !status.success() {
            bail!("cannot make the image {image}: tar of {} failed ({status})", folder.display());
        }
        Ok(())
    }

    /// Runs a scene as a person at the engine's machine would play it: 127.0.0.1 is the engine's. It has a thread and a runtime of its own, because a network
    /// namespace is a thread's.
    pub fn inside<T: Send>(&self, scene: impl AsyncFnOnce() -> Result<T> + Send) -> Result<T> {
        let path = format!("/proc/{}/ns/net", self.part.pid());
        let network = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        let play = || {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).context("cannot enter the engine's network")?;
            // Its further threads inherit the namespace from this one.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot make a runtime")?;
            runtime.block_on(scene())
        };
        std::thread::scope(|scope| scope.spawn(play).join()).map_err(|_| anyhow!("the scene panicked; what it printed says where"))?
    }

    fn command<S: AsRef<OsStr>>(&self, program: &OsStr, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(program);
        command.args(arguments);
        command
            .env("DOCKER_HOST", format!("unix://{}", socket(&self.run).display()))
            .env("DOCKER_CONFIG", self.run.folder().join("client"));
        command.env_remove("DOCKER_CONTEXT").env_remove("COMPOSE_FILE").env_remove("COMPOSE_PROJECT_NAME").env_remove("COMPOSE_PROFILES");
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn to_end(&self, mut command: Command, within: Duration) -> Result<String> {
        let what = format!("{:?}", command.as_std());
        let output = tokio::time::timeout(within, command.output()).await;
        let Output { status, stdout, stderr } =
            output.with_context(|| format!("{what} took longer than {within:?}"))?.with_context(|| format!("cannot start {what}"))?;
        let text = String::from_utf8_lossy(&stdout).into_owned();
        if !status.success() {
            bail!("{what} failed ({status}):\n{text}{}", String::from_utf8_lossy(&stderr));
        }
        Ok(text)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The first process of the namespace first: once it is gone, so are all others, and with them the mounts below the folder.
        let first = first_child(self.part.pid()).and_then(Owner::of);
        if let Some(owner) = first
            && let Some(pid) = i32::try_from(owner.pid).ok().and_then(Pid::from_raw)
        {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
            let deadline = std::time::Instant::now() + Duration::from_secs(10);
            while owner.is_alive() && std::time::Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        cgroup::remove(self.run.folder());
    }
}

/// Whether this machine can run an engine; an error names all that it lacks.
fn possible() -> Result<()> {
    let mut lacking: Vec<String> = NEEDED
        .iter()
        .filter(|(program, _)| crate::stand_ins::program(program).is_none())
        .map(|(program, package)| format!("the program {program} (Debian: apt-get install {package})"))
        .collect();
    if !rustix::process::geteuid().is_root() {
        lacking.push("the rights of root, which networks and mounts of containers need".to_owned());
    }
    if !lacking.is_empty() {
        bail!(
            "a Docker engine cannot run here; lacking are: {}. `cargo xtask setup` installs programs when run as root",
            lacking.join("; ")
        );
    }
    Ok(())
}

fn socket(run: &Run) -> PathBuf {
    run.folder().join("docker.sock")
}

fn first_child(pid: u32) -> Option<u32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?.split_whitespace().next()?.parse().ok()
}
