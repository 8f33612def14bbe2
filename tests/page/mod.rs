//! The page of a real demo in a real browser, read as a person would: figures that change, reasons, and nothing from elsewhere.

mod browser;
mod demo;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use self::browser::Browser;
use self::demo::Demo;

const SEED: &str = "7";
/// Twenty times as fast as a watch: the story is over in half a minute, and its height lasts longer than a busy machine lets the browser wait.
const SPEED: &str = "20";
const WITHIN: Duration = Duration::from_secs(120);

/// All that the page shows, taken between two of its frames.
const LOOK: &str = r#"
    const texts = (where) => [...document.querySelectorAll(where)].map((element) => element.textContent);
    return {
        phase: document.body.dataset.phase,
        link: document.body.dataset.link,
        headline: document.getElementById("headline").textContent,
        figures: Object.fromEntries([...document.querySelectorAll("[data-figure]")].map(({ dataset }) => [dataset.figure, dataset.value ?? ""])),
        tiles: document.querySelectorAll(".tile").length,
        decisions: [...document.querySelectorAll(".decision")].map((row) => ({
            sort: row.dataset.sort, what: row.querySelector(".what").textContent, why: row.querySelector(".why").textContent })),
        lines: [...document.querySelectorAll("figure path")].filter((path) => path.getAttribute("d")).length,
        axes: texts("figure svg text"),
    };
"#;

/// What a look saw.
#[derive(Debug, Clone, Deserialize)]
struct Look {
    phase: String,
    link: Option<String>,
    headline: String,
    figures: BTreeMap<String, String>,
    tiles: usize,
    decisions: Vec<Told>,
    lines: usize,
    axes: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Told {
    sort: String,
    what: String,
    why: String,
}

impl Look {
    /// A figure as a number; none where the page has none to show.
    fn figure(&self, name: &str) -> Option<f64> {
        assert!(self.figures.contains_key(name), "the page has no figure {name}");
        self.figures[name].parse().ok()
    }

    /// A figure that is always there.
    fn number(&self, name: &str) -> f64 {
        self.figure(name).expect(name)
    }
}

/// Looks at the page until the story is over.
async fn watch(browser: &Browser) -> Result<Vec<Look>> {
    let deadline = Instant::now() + WITHIN;
    let mut looks = Vec::new();
    // A person's eye asks no event to happen before it looks.
    let mut every = tokio::time::interval(Duration::from_millis(100));
    loop {
        every.tick().await;
        let look: Look = serde_json::from_value(browser.ask(LOOK).await?).context("a look at the page")?;
        let over = look.phase == "drained";
        // Before the first view there are no figures.
        if look.link.as_deref() == Some("live") && look.phase != "opening" {
            looks.push(look);
        }
        if over {
            return Ok(looks);
        }
        ensure!(Instant::now() < deadline, "the story is not over after {WITHIN:?}: {:?}", looks.last());
    }
}

#[tokio::test]
async fn the_page_shows_what_happens_why_and_what_it_costs() -> Result<()> {
    let browser = Browser::start().await?;
    let demo = Demo::start(&["--seed", SEED, "--speed", SPEED]).await?;
    browser.open(&demo.url).await?;
    let looks = watch(&browser).await?;
    let (first, last) = (looks.first().context("a look")?, looks.last().context("a look")?);

    // The queue fills and drains, machines come and go.
    let most = |name: &str| looks.iter().map(|look| look.number(name)).fold(0.0, f64::max);
    ensure!(most("queue.waiting") > 1_000.0, "at most {} messages wait", most("queue.waiting"));
    assert_eq!(last.number("queue.waiting"), 0.0);
    ensure!(most("workers.running") > 50.0, "at most {} workers run", most("workers.running"));
    ensure!(most("nodes.total") >= 3.0 && most("nodes.booting") >= 1.0, "nodes: {}", most("nodes.total"));
    assert_eq!((last.number("nodes.total"), last.number("cost.perHour")), (0.0, 0.0));
    ensure!(first.number("clock.seconds") < last.number("clock.seconds") && first.headline != last.headline, "{}", first.headline);
    ensure!(last.headline.starts_with("Drained: "), "{}", last.headline);
    for look in &looks {
        assert_eq!(look.tiles as f64, look.number("nodes.total"), "each node is a tile");
    }

    // What was paid and done does not become less, and Spot is never dearer.
    for pair in looks.windows(2) {
        for name in ["clock.seconds", "cost.soFar", "cost.onDemand", "queue.done", "queue.arrived", "tally.spot", "tally.stockOuts"] {
            assert!(pair[0].number(name) <= pair[1].number(name), "{name} falls from {} to {}", pair[0].number(name), pair[1].number(name));
        }
    }
    assert!(looks.iter().all(|look| look.number("cost.soFar") <= look.number("cost.onDemand")));

    // Decisions have reasons.
    ensure!(last.decisions.len() > 10, "{} decisions", last.decisions.len());
    for told in &last.decisions {
        ensure!(!told.what.is_empty() && (told.sort == "world" || !told.why.is_empty()), "without a reason: {told:?}");
    }
    for sort in ["scale", "launch", "retire", "interruption", "stockOut"] {
        ensure!(last.decisions.iter().any(|told| told.sort == sort), "no decision of the sort {sort}");
    }

    // The course is drawn, with axes.
    ensure!(last.lines >= 8, "{} lines are drawn", last.lines);
    ensure!(last.axes.iter().any(|label| label == "4:00") && last.axes.iter().any(|label| label == "0"), "axes: {:?}", last.axes);

    nothing_came_from_elsewhere(&browser, &demo.url).await?;
    browser.close().await?;
    the_figures_are_those_of_an_unwatched_run(last).await
}

/// All that was loaded came from the demo, and the browser had nothing to complain of; what would come from elsewhere is refused.
async fn nothing_came_from_elsewhere(browser: &Browser, url: &str) -> Result<()> {
    let loaded = browser.ask("return performance.getEntriesByType('resource').map(({ name }) => name)").await?;
    let loaded: Vec<String> = serde_json::from_value(loaded)?;
    ensure!(loaded.iter().any(|name| name.ends_with("/page.js")), "{loaded:?}");
    let foreign: Vec<&String> = loaded.iter().filter(|name| !name.starts_with(url)).collect();
    ensure!(foreign.is_empty(), "requests to others: {foreign:?}");
    let console = browser.console().await?;
    ensure!(console.is_empty(), "the console says {console:?}");

    let refused = browser
        .ask(
            "const broken = new Promise((tell) => addEventListener('securitypolicyviolation', ({ effectiveDirective }) => tell(effectiveDirective)));
             fetch('http://192.0.2.1/').catch(() => {});
             return broken",
        )
        .await?;
    assert_eq!(refused, Value::from("connect-src"));
    Ok(())
}

/// The page of a watched demo and the JSON of one that nobody watches tell the same story to the last digit.
async fn the_figures_are_those_of_an_unwatched_run(page: &Look) -> Result<()> {
    let view = Demo::unwatched(SEED).await?;
    let queue = &view["queues"][0];
    let (cost, tally) = (&view["cost"], &view["tally"]);
    let figures = [
        ("queue.arrived", &queue["arrived"]),
        ("queue.done", &queue["done"]),
        ("queue.redelivered", &queue["redelivered"]),
        ("queue.waitP50", &queue["waitP50Seconds"]),
        ("queue.waitP99", &queue["waitP99Seconds"]),
        ("cost.soFar", &cost["soFar"]),
        ("cost.onDemand", &cost["onDemand"]),
        ("cost.perThousand", &cost["perThousand"]),
        ("tally.spot", &tally["spot"]),
        ("tally.onDemand", &tally["onDemand"]),
        ("tally.interruptions", &tally["interruptions"]),
        ("tally.stockOuts", &tally["stockOuts"]),
        ("tally.mostNodes", &tally["mostNodes"]),
    ];
    for (name, value) in figures {
        assert_eq!(page.figure(name), value.as_f64(), "{name}");
    }
    ensure!(view["clock"]["drained"] == true, "the unwatched run has ended");
    Ok(())
}
