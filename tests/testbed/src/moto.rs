//! moto: a stand-in for AWS, in Python, which keeps queues, roles and secrets in memory.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::Value;

use crate::components::url;
use crate::part::{Part, Program};
use crate::places;
use crate::port::Port;
use crate::programs::cached;
use crate::run::Run;

const START_WITHIN: Duration = Duration::from_secs(60);

/// The account that everything is in.
const ACCOUNT: &str = "123456789012";

/// A running moto. It stops when dropped, and what it knows is gone.
pub struct Moto {
    // Dropped in this order: the server, then its port and the folder.
    server: Part,
    port: Port,
    client: reqwest::Client,
    _run: Run,
}

impl Moto {
    /// The folder with Python's environment that it runs from: fetched by pip the first time, in half a minute.
    pub fn ensure() -> Result<PathBuf> {
        environment()
    }

    /// Starts one of its own and waits until it answers.
    pub async fn start() -> Result<Self> {
        let environment = tokio::task::spawn_blocking(environment).await??;
        let run = Run::open("moto")?;
        let port = Port::book()?;
        let program = Program {
            name: "moto",
            path: environment.join("bin/python"),
            // Its own script names the folder that it was installed in, which has been renamed since.
            arguments: ["-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p"]
                .map(str::to_owned)
                .into_iter()
                .chain([port.number.to_string()])
                .collect(),
            environment: Vec::new(),
        };
        let mut server = Part::start(&run, &program)?;
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        let ready = url("http", port.address()) + "/moto-api/data.json";
        server.until_ready(START_WITHIN, async || client.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success())).await?;
        Ok(Self { server, port, client, _run: run })
    }

    /// The endpoint of every service.
    pub fn url(&self) -> String {
        url("http", self.port.address())
    }

    /// Where it listens, for a proxy before it.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The URL of a queue.
    pub fn queue_url(&self, queue: &str) -> String {
        format!("{}/{ACCOUNT}/{queue}", self.url())
    }

    /// ARN of a role.
    pub fn role(name: &str) -> String {
        format!("arn:aws:iam::{ACCOUNT}:role/{name}")
    }

    /// Asks a service whose protocol is JSON: `target` such as `AmazonSQS.CreateQueue`, with a body.
    pub async fn ask(&self, region: &str, service: &str, target: &str, body: &Value) -> Result<Value> {
        let request = self
            .client
            .post(self.url())
            .header(AUTHORIZATION, signature(region, service))
            .header(CONTENT_TYPE, "application/x-amz-json-1.0")
            .header("x-amz-target", target)
            .body(body.to_string());
        let answer = request.send().await.with_context(|| format!("cannot ask moto for {target}"))?;
        let (status, text) = (answer.status(), answer.text().await?);
        if !status.is_success() {
            bail!("moto refuses {target} ({status}): {text}");
        }
        if text.is_empty() {
            Ok(Value::Null)
        } else {
            serde_json::from_str(&text).with_context(|| format!("moto's answer to {target}: {text}"))
        }
    }

    /// Asks a service whose protocol is forms and XML, such as IAM. Its answer's text.
    pub async fn submit(&self, service: &str, parameters: &[(&str, &str)]) -> Result<String> {
        let body: Vec<String> = parameters.iter().map(|(name, text)| format!("{name}={}", escaped(text))).collect();
        let request = self
            .client
            .post(self.url())
            .header(AUTHORIZATION, signature("us-east-1", service))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.join("&"));
        let answer = request.send().await.with_context(|| format!("cannot ask moto's {service}"))?;
        let (status, text) = (answer.status(), answer.text().await?);
        if !status.is_success() {
            bail!("moto's {service} refuses ({status}): {text}");
        }
        Ok(text)
    }

    /// From now on nobody is let in but by keys and policies that were given.
    pub async fn lock(&self) -> Result<()> {
        let answer =
            self.client.post(format!("{}/moto-api/reset-auth", self.url())).header(CONTENT_TYPE, "text/plain").body("0").send().await?;
        answer.error_for_status().context("moto does not lock its door")?;
        Ok(())
    }

    /// Makes it hang: it keeps its connections and answers nothing.
    pub fn pause(&self) -> Result<()> {
        self.server.pause()
    }

    /// Lets it go on.
    pub fn resume(&self) -> Result<()> {
        self.server.resume()
    }
}

/// The header by which moto knows the service; it does not look at the rest of it while its door is open.
fn signature(region: &str, service: &str) -> String {
    format!("AWS4-HMAC-SHA256 Credential=testbed/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=none")
}

/// A text as it may stand in a form.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn environment() -> Result<PathBuf> {
    let requirements = places::sources().join("moto/requirements.txt");
    cached(std::slice::from_ref(&requirements), "environment", |unfinished| {
        eprintln!("testbed: fetching moto (once)");
        let missing = "Python is missing. `cargo xtask setup` installs it when run as root; else `apt-get install python3-venv`";
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(unfinished), missing)?;
        let mut pip = Command::new(unfinished.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&requirements);
        succeed(&mut pip, "see that Python's package index can be reached, and run `cargo xtask setup` again")
    })
}

fn succeed(command: &mut Command, remedy: &str) -> Result<()> {
    let program = Path::new(command.get_program()).display().to_string();
    let status = command.status().with_context(|| format!("cannot start {program}. {remedy}"))?;
    if !status.success() {
        bail!("{program} failed ({status}): {remedy}");
    }
    Ok(())
}
