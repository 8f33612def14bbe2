//! A program that runs as a part of a plane or a broker, and ends with it in every case.
//!
//! Three things see to that: a part is killed when dropped; the kernel kills it when this process dies without dropping anything
//! (parent-death signal); and what even that misses is in the run's list, which the next run sweeps.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::run::Run;

/// How often a starting part is asked whether it is ready. The parts offer nothing to wait on; only their start is waited for so.
const ASK_EVERY: Duration = Duration::from_millis(40);

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
}

/// A running program, leader of a process group of its own.
#[derive(Debug)]
pub(crate) struct Part {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Part {
    /// Starts a program whose output goes to a log in the run's folder.
    pub(crate) fn start(run: &Run, program: &Program) -> Result<Self> {
        let (log, output) = run.log(program.name)?;
        let errors = output.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
        // `setpriv` sets the parent-death signal and becomes the program: the one way without unsafe code of our own.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&program.path).args(&program.arguments);
        command.envs(program.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(run.folder()).process_group(0).stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = spawn_from_lasting_thread(command)
            .with_context(|| format!("cannot start {} by setpriv (Debian: util-linux)", program.path.display()))?;
        let part = Self { name: program.name, child, log };
        run.note(part.child.id())?;
        Ok(part)
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` says so; an error, with the end of the log, when the program ends before or takes longer.
    pub(crate) async fn until_ready(&mut self, within: Duration, mut ready: impl AsyncFnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + within;
        let mut asking = interval(ASK_EVERY);
        asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            asking.tick().await;
            if let Some(status) = self.child.try_wait().with_context(|| format!("cannot ask for the state of {}", self.name))? {
                bail!("{} ended while it started ({status}); the end of {}:\n{}", self.name, self.log.display(), end_of(&self.log));
            }
            if ready().await {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} was not ready within {within:?}; the end of {}:\n{}", self.name, self.log.display(), end_of(&self.log));
            }
        }
    }

    /// Stops the program's clock, so to say: it keeps its connections and answers nothing.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a paused program go on.
    pub(crate) fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill_process_group(Pid::from_child(&self.child), signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Kills the program without waiting for it, so that several can end at the same time.
    pub(crate) fn kill(&self) {
        // It may have ended by itself.
        let _ = self.signal(Signal::KILL);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

/// Starts a process from a thread that lives as long as this process.
///
/// The kernel sends the parent-death signal when the *thread* that started a process ends, and a test's thread ends with its test.
fn spawn_from_lasting_thread(command: Command) -> Result<Child> {
    type Request = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<mpsc::Sender<Request>> = LazyLock::new(|| {
        let (requests, incoming) = mpsc::channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, answer) in incoming {
                // Who asked may be gone; then the child is in the run's list or dies with us.
                let _ = answer.send(command.spawn());
            }
        });
        requests
    });
    let (answer, answered) = mpsc::channel();
    SPAWNER.send((command, answer)).map_err(|_| anyhow!("the thread that starts processes has ended"))?;
    Ok(answered.recv().context("the thread that starts processes has ended")??)
}

/// The last lines of a log, for an error message.
pub(crate) fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
