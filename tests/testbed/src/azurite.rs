//! Azurite: Microsoft's emulator of Azure storage, of which its queues are used. npm fetches it once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;

use crate::part::{Part, Program};
use crate::places;
use crate::port::Port;
use crate::programs::cached;
use crate::run::Run;

const START_WITHIN: Duration = Duration::from_secs(60);

/// The emulator's own account, and its published key.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// A version of the interface that it knows.
const VERSION: &str = "2021-12-02";

/// A running emulator of queues, which keeps nothing. It stops when dropped.
pub struct Azurite {
    // Dropped in this order: the program, then its port and folder.
    part: Option<Part>,
    program: Program,
    port: Port,
    client: reqwest::Client,
    run: Run,
}

impl Azurite {
    /// The folder with its modules: fetched by npm the first time, in about a minute (365 MB).
    pub fn ensure() -> Result<PathBuf> {
        modules()
    }

    /// Starts an emulator of its own and waits until it answers.
    pub async fn start() -> Result<Self> {
        let modules = tokio::task::spawn_blocking(modules).await??;
        let (run, port) = (Run::open("azurite")?, Port::book()?);
        let script = modules.join("node_modules/azurite/dist/src/queue/main.js");
        let number = port.number.to_string();
        let options = ["--inMemoryPersistence", "--disableTelemetry", "--queueHost", "127.0.0.1", "--queuePort", &number];
        let arguments = [script.display().to_string()].into_iter().chain(options.map(str::to_owned)).collect();
        let program = Program { name: "azurite", path: PathBuf::from("node"), arguments, environment: Vec::new() };
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        let mut azurite = Self { part: None, program, port, client, run };
        azurite.start_again().await?;
        Ok(azurite)
    }

    /// What a client connects with.
    pub fn connection(&self) -> String {
        format!("DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};QueueEndpoint=http://{}/{ACCOUNT};", self.address())
    }

    /// The key that is in it.
    pub fn key(&self) -> &'static str {
        KEY
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The folder with its log.
    pub fn folder(&self) -> &Path {
        self.run.folder()
    }

    /// Makes a queue.
    pub async fn create(&self, queue: &str) -> Result<()> {
        self.ask(Method::PUT, queue, &[], "").await.map(drop)
    }

    /// Puts so many messages into a queue.
    pub async fn put(&self, queue: &str, count: usize) -> Result<()> {
        for number in 0..count {
            let message = format!("<QueueMessage><MessageText>{number}</MessageText></QueueMessage>");
            self.ask(Method::POST, &format!("{queue}/messages"), &[], &message).await?;
        }
        Ok(())
    }

    /// Takes so many messages, 32 at most, as a worker that holds them for an hour. Returns how many there were.
    pub async fn take(&self, queue: &str, count: usize) -> Result<usize> {
        let count = count.to_string();
        let parameters = [("numofmessages", count.as_str()), ("visibilitytimeout", "3600")];
        let text = self.ask(Method::GET, &format!("{queue}/messages"), &parameters, "").await?;
        Ok(text.matches("<MessageId>").count())
    }

    /// Makes it hang: it keeps its connections and answers nothing.
    pub fn pause(&self) -> Result<()> {
        self.part.as_ref().context("Azurite does not run")?.pause()
    }

    /// Lets it go on.
    pub fn resume(&self) -> Result<()> {
        self.part.as_ref().context("Azurite does not run")?.resume()
    }

    /// Ends it, with all that is in its queues.
    pub fn kill(&mut self) {
        self.part = None;
    }

    /// Starts it anew at the same address, without a queue.
    pub async fn start_again(&mut self) -> Result<()> {
        ensure!(self.part.is_none(), "Azurite runs already");
        let mut part = Part::start(&self.run, &self.program)?;
        part.until_ready(START_WITHIN, async || self.port.accepts().await).await?;
        self.part = Some(part);
        Ok(())
    }

    /// One request, signed by the account's key: <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key>.
    async fn ask(&self, method: Method, path: &str, parameters: &[(&str, &str)], body: &str) -> Result<String> {
        let date = k8s_openapi::jiff::Timestamp::try_from(SystemTime::now())?.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let (length, kind) = if body.is_empty() { (String::new(), "") } else { (body.len().to_string(), "application/xml") };
        let own = format!("x-ms-date:{date}\nx-ms-version:{VERSION}");
        // Their names are given in order.
        let asked: String = parameters.iter().map(|(name, text)| format!("\n{name}:{text}")).collect();
        let text = format!("{method}\n\n\n{length}\n\n{kind}\n\n\n\n\n\n\n{own}\n/{ACCOUNT}/{ACCOUNT}/{path}{asked}");
        let signature = STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(KEY)?), text.as_bytes()));
        let query: Vec<String> = parameters.iter().map(|(name, text)| format!("{name}={text}")).collect();
        let to = format!("http://{}/{ACCOUNT}/{path}?{}", self.address(), query.join("&"));
        let mut request = self.client.request(method, to.trim_end_matches('?')).header("x-ms-date", date).header("x-ms-version", VERSION);
        if !body.is_empty() {
            request = request.header("content-type", kind).body(body.to_owned());
        }
        let answer = request.header("authorization", format!("SharedKey {ACCOUNT}:{signature}")).send().await;
        let answer = answer.with_context(|| format!("cannot reach {to}"))?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "Azurite refuses {to} ({status}): {text}");
        Ok(text)
    }
}

fn modules() -> Result<PathBuf> {
    const NAME: &str = "azurite";
    let files = ["package.json", "package-lock.json"].map(|file| places::sources().join("azurite").join(file));
    cached(&files, NAME, |unfinished| {
        eprintln!("testbed: fetching Azurite (once)");
        std::fs::create_dir_all(unfinished).with_context(|| format!("cannot make the folder {}", unfinished.display()))?;
        for file in &files {
            let to = unfinished.join(file.file_name().context("a file's name")?);
            std::fs::copy(file, &to).with_context(|| format!("cannot write {}", to.display()))?;
        }
        let mut command = Command::new("npm");
        command.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]).current_dir(unfinished);
        let status = command
            .status()
            .context("npm is missing. `cargo xtask setup` installs it when run as root; else `apt-get install npm nodejs`")?;
        if !status.success() {
            bail!("npm cannot fetch Azurite ({status}); see that its registry can be reached, and run `cargo xtask setup` again");
        }
        Ok(())
    })
}
