//! A headless browser, told by WebDriver what to open and read. It ends with the test, also when the test is killed.
//!
//! The few requests are written out here: a crate for them would bring in a second HTTP and a licence that nothing else here has.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A browser that does not answer within this time does not answer at all, also on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A browser and its driver.
pub struct Browser {
    client: reqwest::Client,
    /// Where the driver takes commands for this browser.
    session: String,
    driver: Child,
    /// Its profile and all else that it leaves.
    folder: PathBuf,
}

impl Browser {
    /// Starts one.
    pub async fn start() -> Result<Self> {
        let name = format!("browser-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).context("make the browser's folder")?;
        let mut driver = std::process::Command::new("setpriv");
        driver.args(["--pdeathsig", "KILL", "--", "chromedriver", "--port=0"]).env("TMPDIR", &folder).process_group(0);
        driver.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = Command::from(driver).kill_on_drop(true).spawn().context("start chromedriver; `cargo xtask setup` installs it")?;
        let port = port_of(&mut driver).await?;
        // The browser hears its driver through a pipe, and ends when that breaks. Its sandbox does not work for root, as whom containers run.
        let arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--window-size=1280,800"];
        let wishes = json!({ "goog:chromeOptions": { "args": arguments }, "goog:loggingPrefs": { "browser": "ALL" } });
        let client = reqwest::Client::new();
        let sessions = format!("http://127.0.0.1:{port}/session");
        let session = command(&client, &sessions, json!({ "capabilities": { "alwaysMatch": wishes } })).await?;
        let session = format!("{sessions}/{}", session["sessionId"].as_str().context("the driver names no session")?);
        Ok(Self { client, session, driver, folder })
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.command("url", json!({ "url": url })).await.map(drop)
    }

    /// Runs a script in the page and answers what it returns; a promise is awaited.
    pub async fn ask(&self, script: &str) -> Result<Value> {
        self.command("execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// What the console has been told since this was last asked, and what the browser itself complained of: Chromium's own addition to WebDriver.
    pub async fn console(&self) -> Result<Vec<String>> {
        let log = self.command("se/log", json!({ "type": "browser" })).await?;
        let entries = log.as_array().context("the console is not a list")?;
        Ok(entries.iter().map(|entry| format!("{}: {}", entry["level"], entry["message"])).collect())
    }

    async fn command(&self, name: &str, arguments: Value) -> Result<Value> {
        command(&self.client, &format!("{}/{name}", self.session), arguments).await
    }

    /// Ends it in order.
    pub async fn close(self) -> Result<()> {
        self.client.delete(&self.session).send().await?.error_for_status().context("close the browser").map(drop)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Unless it was closed, the browser ends when it misses its driver; what it writes until then stays in the target folder.
        drop(self.driver.start_kill());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// The port that a driver says it listens on.
async fn port_of(driver: &mut Child) -> Result<u16> {
    let mut lines = BufReader::new(driver.stdout.take().context("chromedriver has no standard output")?).lines();
    let said = async {
        while let Some(line) = lines.next_line().await? {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                return port.trim_end_matches('.').parse().context("chromedriver's port");
            }
        }
        bail!("chromedriver ended without saying on which port it listens")
    };
    tokio::time::timeout(PATIENCE, said).await.context("chromedriver does not start")?
}

/// Sends a command and answers its value.
async fn command(client: &reqwest::Client, url: &str, arguments: Value) -> Result<Value> {
    let answer = client.post(url).json(&arguments).timeout(PATIENCE).send().await.with_context(|| format!("send {url} {arguments}"))?;
    let status = answer.status();
    let value = answer.json::<Value>().await.with_context(|| format!("read the answer to {url}"))?["value"].take();
    ensure!(status.is_success(), "{url} {arguments}: {status} {value}");
    Ok(value)
}
