//! `cargo xtask picture`: the picture of the page that the README shows, taken by a browser from a running demo.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::Outcome;
use crate::shell::{cargo, root};

/// A laptop's screen.
const WINDOW: &str = "--window-size=1280,800";
/// A clone should not grow by megabytes with each new picture.
const MOST_BYTES: u64 = 300 * 1024;
/// The browser lets so many milliseconds of its own time pass before it takes the picture. They pass at once, but not before all is loaded.
const LOOK: &str = "--virtual-time-budget=3000";
/// A demo that says nothing for so long hangs; it says every few seconds that it lives.
const SILENCE: Duration = Duration::from_secs(30);

/// Of what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Seconds of the demo's own time at which it is taken, or a little later.
    #[arg(long, default_value_t = 86.0)]
    at: f64,
    /// The demo's seed.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// So many seconds of the demo pass in one.
    #[arg(long, default_value_t = 4.0)]
    speed: f64,
    /// A built `springtide`; without it, one is built as `cargo demo` does.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where it goes.
    #[arg(long, value_name = "FILE", default_value = "docs/page.png")]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome> {
    let demo = Demo::start(arguments)?;
    demo.until(arguments.at)?;
    let out = root().join(&arguments.out);
    take(&demo.address, &out)?;
    let size = std::fs::metadata(&out).with_context(|| format!("look at {}", out.display()))?.len();
    ensure!(size <= MOST_BYTES, "{} has {size} bytes; {MOST_BYTES} are the most", out.display());
    println!("{}: {} KiB", arguments.out.display(), size / 1024);
    Ok(Outcome::Good)
}

/// A running demo; it ends with this value.
struct Demo {
    child: Child,
    /// Kept open: the demo may go on to print.
    _printed: BufReader<ChildStdout>,
    /// `HOST:PORT`
    address: String,
}

impl Demo {
    /// Starts it and waits until it says where its page is.
    fn start(arguments: &Arguments) -> Result<Self> {
        let mut command = match &arguments.program {
            Some(program) => Command::new(program),
            None => cargo(&["run", "--quiet", "--release", "--package", "springtide", "--no-default-features", "--"]),
        };
        command.args(["demo", "--seed", &arguments.seed.to_string(), "--speed", &arguments.speed.to_string(), "--port", "0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start the demo")?;
        let mut printed = BufReader::new(child.stdout.take().context("the demo has no standard output")?);
        let mut line = String::new();
        let address = loop {
            line.clear();
            if printed.read_line(&mut line).context("cannot read what the demo prints")? == 0 {
                bail!("the demo ended with {} before it said `page: http://...`", child.wait()?);
            }
            if let Some((_, address)) = line.split_once("page: http://") {
                break address.trim().trim_end_matches('/').to_owned();
            }
        };
        Ok(Self { child, _printed: printed, address })
    }

    /// Waits until its own time is so late, by its stream of views. HTTP/1.0 answers are not chunked: no client is needed to read them.
    fn until(&self, seconds: f64) -> Result<()> {
        let mut stream = TcpStream::connect(&self.address).with_context(|| format!("connect to {}", self.address))?;
        stream.set_read_timeout(Some(SILENCE)).context("set a time limit")?;
        write!(stream, "GET /api/views HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).context("ask for views")?;
        let mut clock = None;
        for line in BufReader::new(stream).lines() {
            let line = line.with_context(|| format!("the demo's clock is at {clock:?} and its views end"))?;
            let Some(data) = line.strip_prefix("data: {") else { continue };
            let view: Value = serde_json::from_str(&format!("{{{data}")).context("a view is not JSON")?;
            clock = view["clock"]["seconds"].as_f64();
            if clock.context("a view has no clock.seconds")? >= seconds {
                return Ok(());
            }
            ensure!(view["clock"]["drained"] != true, "the demo is over at {clock:?}, before {seconds} s");
        }
        bail!("the demo's clock is at {clock:?} and its views end")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn take(address: &str, out: &Path) -> Result<()> {
    let mut command = Command::new("chromium");
    // A browser's sandbox does not work for root, as whom containers run; it loads nothing but our own page.
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1", WINDOW]);
    // One moment of the page: the browser's time would wait for the end of a stream.
    command.arg(LOOK).arg(format!("--screenshot={}", out.display())).arg(format!("http://{address}/?still"));
    let output = command.output().context("cannot start chromium; `cargo xtask setup` installs it")?;
    // What it prints is about a desktop that is not there, as long as it succeeds.
    ensure!(output.status.success(), "chromium failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
