//! The words of `# expect:`. A POD is a name, with its namespace where that is not `default`, and `*` in it is anything; pods that were bound before count too.
//!
//! | line | what must hold |
//! | --- | --- |
//! | `scheduled [N of] POD...` | the plan gives each a node, or exactly N of them |
//! | `unschedulable [N of] POD... [because WORDS]` | the plan says of each, or of exactly N, that it gets none, with these words in its reasons |
//! | `ignored POD...` | the plan does not speak of any of them |
//! | `claims N`, `claims <= N`, `claims >= N` | so many NodeClaims are made |
//! | `together POD...`, `apart POD...` | all are on one node; no two are |
//! | `on NODE: POD...`, `pool NAME: POD...` | they are on this node or NodeClaim; on a NodeClaim that is made for this NodePool |
//! | `label KEY=VALUE[\|VALUE]: POD...` | whichever machine is bought, their nodes have this label |
//! | `first KEY=VALUE[\|VALUE]: POD...` | the machine that is asked for first has this label |
//! | `not label KEY[=VALUE]: POD...` | whichever machine is bought, their nodes do not have this label |
//! | `values KEY=VALUE[\|VALUE]: POD...` | the label may come to have exactly these values, so that what is sold out in one place is bought in another |
//! | `fixed KEY: POD...` | whichever machine is bought, the label has the one value that its first choice has |
//! | `types POD: TYPE...`, `some types POD: TYPE...`, `not types POD: TYPE...` | exactly these may be bought; these and maybe others; none of these |
//! | `taints POD: TAINT...`, `startup taints POD: TAINT...` | the NodeClaim has exactly these taints, `KEY[=VALUE]:EFFECT`, or `none` |
//! | `cheapest POD...` | what is asked for first costs no more than anything on which the NodeClaim's pods could run (no DaemonSets in the scene) |
//! | `skew KEY SELECTOR: N...` | pods with these labels (`*`, or `KEY=VALUE` with commas) on nodes by the value of a label: the counts, sorted |
//! | `most KEY SELECTOR: N` | no value of the label has more than N of them |
//! | `balanced KEY SELECTOR: N` | the counts differ by at most N, over all values that nodes and NodeClaims have, empty ones too |
//! | `total FIELD: N`, `timed` | the plan's totals have this number; the plan tells how long it took |
//! | `retired NODE...`, `kept NODE...` | these go; these do not |
//! | `told WORDS`, `not told WORDS` | standard error has these words |

use std::collections::BTreeSet;

use serde_json::Value;

use super::scene::{Scene, text};

type Verdict = Result<(), String>;
type Rule = fn(&Scene, &str) -> Verdict;

/// # Errors
/// Why the line does not hold, or cannot be understood.
pub fn check(scene: &Scene, line: &str) -> Verdict {
    // The longest word first: `types` ends `not types` too.
    let words: &[(&str, Rule)] = &[
        ("not label", not_label),
        ("not types", |scene, rest| types(scene, rest, |known, named| known.is_disjoint(named))),
        ("not told", |scene, rest| told(scene, rest, false)),
        ("some types", |scene, rest| types(scene, rest, |known, named| named.is_subset(known))),
        ("startup taints", |scene, rest| taints(scene, rest, "startupTaints")),
        ("scheduled", scheduled),
        ("unschedulable", unschedulable),
        ("ignored", ignored),
        ("claims", claims),
        ("together", |scene, rest| side_by_side(scene, rest, |pods, places| pods > 0 && places == 1)),
        ("apart", |scene, rest| side_by_side(scene, rest, |pods, places| pods > 1 && places == pods)),
        ("on", on),
        ("pool", pool),
        ("label", label),
        ("first", first),
        ("values", values),
        ("fixed", fixed),
        ("types", |scene, rest| types(scene, rest, |known, named| known == named)),
        ("taints", |scene, rest| taints(scene, rest, "taints")),
        ("cheapest", cheapest),
        ("skew", skew),
        ("most", most),
        ("balanced", balanced),
        ("total", total),
        ("retired", |scene, rest| retired(scene, rest, true)),
        ("kept", |scene, rest| retired(scene, rest, false)),
    ];
    match line.split_once(' ') {
        Some(("told", words)) => return told(scene, words, true),
        None if line == "timed" => return timed(scene),
        _ => {}
    }
    let found = words.iter().find_map(|(word, rule)| Some((rule, line.strip_prefix(word)?.strip_prefix(' ')?)));
    found.map_or_else(|| Err("no such words; see tests/conformance/expect.rs".to_owned()), |(rule, rest)| rule(scene, rest.trim()))
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(why()) }
}

/// All pods of these patterns; each pattern has to be somebody's.
fn named(scene: &Scene, patterns: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for pattern in patterns.split_whitespace() {
        let pods = scene.pods(pattern);
        ensure(!pods.is_empty(), || format!("there is no pod {pattern}"))?;
        all.extend(pods);
    }
    ensure(!all.is_empty(), || "no pod is named".to_owned())?;
    Ok(all)
}

/// What stands before and after the colon, and the pods after it.
fn about<'a>(scene: &Scene, rest: &'a str) -> Result<(&'a str, Vec<String>), String> {
    let (what, pods) = rest.split_once(": ").ok_or("a colon and pods are missing")?;
    Ok((what, named(scene, pods)?))
}

/// The pods, and how many of them it is about.
fn some(scene: &Scene, rest: &str) -> Result<(usize, Vec<String>), String> {
    if let Some((count, patterns)) = rest.split_once(" of ")
        && let Ok(count) = count.parse()
    {
        return Ok((count, named(scene, patterns)?));
    }
    let pods = named(scene, rest)?;
    Ok((pods.len(), pods))
}

fn scheduled(scene: &Scene, rest: &str) -> Verdict {
    let (count, pods) = some(scene, rest)?;
    let (with, without): (Vec<_>, Vec<_>) = pods.iter().partition(|pod| scene.placed.contains_key(*pod));
    let first = without.first().map_or("", |pod| scene.unplaced.get(*pod).map_or("the plan does not speak of it", |why| why));
    ensure(with.len() == count, || format!("{} do, {} do not: {first}", with.len(), without.len()))
}

fn unschedulable(scene: &Scene, rest: &str) -> Verdict {
    let (patterns, because) = rest.split_once(" because ").unwrap_or((rest, ""));
    let (count, pods) = some(scene, patterns)?;
    let without: Vec<&String> = pods.iter().filter(|pod| scene.unplaced.contains_key(*pod)).collect();
    ensure(without.len() == count, || format!("of {} get none", without.len()))?;
    for pod in without {
        let reasons = &scene.unplaced[pod];
        // What the planner does not know at all it has not decided.
        let decided = !because.is_empty() || !reasons.contains("not planned for yet");
        ensure(decided && reasons.contains(because), || format!("{pod} gets none because {reasons}"))?;
    }
    Ok(())
}

fn ignored(scene: &Scene, rest: &str) -> Verdict {
    for pod in rest.split_whitespace().flat_map(|pattern| scene.pods(pattern)) {
        ensure(!scene.placed.contains_key(&pod) && !scene.unplaced.contains_key(&pod), || format!("the plan speaks of {pod}"))?;
    }
    Ok(())
}

fn claims(scene: &Scene, rest: &str) -> Verdict {
    let made = scene.plan["nodeClaims"].as_array().map_or(0, Vec::len);
    let (operator, number) = rest.split_once(' ').unwrap_or(("=", rest));
    let number: usize = number.parse().map_err(|_| format!("{number} is no number"))?;
    let holds = match operator {
        "=" => made == number,
        "<=" => made <= number,
        ">=" => made >= number,
        _ => return Err(format!("{operator} is neither <= nor >=")),
    };
    ensure(holds, || format!("{made} are made"))
}

/// Where these pods are.
fn places<'a>(scene: &'a Scene, pods: &[String]) -> Result<Vec<&'a str>, String> {
    pods.iter().map(|pod| scene.place(pod).ok_or_else(|| format!("{pod} has no node"))).collect()
}

fn side_by_side(scene: &Scene, rest: &str, holds: fn(usize, usize) -> bool) -> Verdict {
    let pods = named(scene, rest)?;
    let places = places(scene, &pods)?;
    let distinct = places.iter().collect::<BTreeSet<_>>().len();
    ensure(holds(pods.len(), distinct), || format!("they are on {}", places.join(", ")))
}

fn on(scene: &Scene, rest: &str) -> Verdict {
    let (node, pods) = about(scene, rest)?;
    let places = places(scene, &pods)?;
    ensure(places.iter().all(|place| *place == node), || format!("they are on {}", places.join(", ")))
}

/// The NodeClaims that are made for these pods.
fn made<'a>(scene: &'a Scene, pods: &[String]) -> Result<Vec<&'a Value>, String> {
    let claim = |(pod, place): (&String, &str)| scene.claim(place).ok_or_else(|| format!("{pod} is on {place}, which is there already"));
    pods.iter().zip(places(scene, pods)?).map(claim).collect()
}

fn pool(scene: &Scene, rest: &str) -> Verdict {
    let (pool, pods) = about(scene, rest)?;
    made(scene, &pods)?.iter().try_for_each(|claim| ensure(claim["nodePool"] == pool, || format!("it is of {}", claim["nodePool"])))
}

fn label(scene: &Scene, rest: &str) -> Verdict {
    let (wish, pods) = about(scene, rest)?;
    let (key, values) = wish.split_once('=').ok_or("KEY=VALUE is missing")?;
    places(scene, &pods)?.iter().try_for_each(|place| {
        let found = scene.values(place, key);
        let holds = found.iter().all(|value| value.as_deref().is_some_and(|value| values.split('|').any(|wished| wished == value)));
        ensure(holds && !found.is_empty(), || format!("on {place} it may be {found:?}"))
    })
}

fn values(scene: &Scene, rest: &str) -> Verdict {
    let (wish, pods) = about(scene, rest)?;
    let (key, values) = wish.split_once('=').ok_or("KEY=VALUE is missing")?;
    let wished: BTreeSet<Option<String>> = values.split('|').map(|value| Some(value.to_owned())).collect();
    places(scene, &pods)?.iter().try_for_each(|place| {
        let found = scene.values(place, key);
        ensure(found == wished, || format!("on {place} it may be {found:?}"))
    })
}

fn fixed(scene: &Scene, rest: &str) -> Verdict {
    let (key, pods) = about(scene, rest)?;
    places(scene, &pods)?.iter().try_for_each(|place| {
        let found = scene.values(place, key);
        ensure(found.len() == 1 && found.contains(&scene.first(place, key)), || format!("on {place} it may be {found:?}"))
    })
}

fn first(scene: &Scene, rest: &str) -> Verdict {
    let (wish, pods) = about(scene, rest)?;
    let (key, values) = wish.split_once('=').ok_or("KEY=VALUE is missing")?;
    places(scene, &pods)?.iter().try_for_each(|place| {
        let found = scene.first(place, key);
        ensure(found.as_deref().is_some_and(|value| values.split('|').any(|wished| wished == value)), || {
            format!("on {place} it is {found:?}")
        })
    })
}

fn not_label(scene: &Scene, rest: &str) -> Verdict {
    let (wish, pods) = about(scene, rest)?;
    let (key, unwanted) = wish.split_once('=').map_or((wish, None), |(key, value)| (key, Some(value)));
    places(scene, &pods)?.iter().try_for_each(|place| {
        let found = scene.values(place, key);
        let holds = found.iter().flatten().all(|value| unwanted.is_some_and(|unwanted| unwanted != value));
        ensure(holds, || format!("on {place} it may be {found:?}"))
    })
}

fn types(scene: &Scene, rest: &str, holds: fn(&BTreeSet<String>, &BTreeSet<String>) -> bool) -> Verdict {
    let (patterns, types) = rest.split_once(": ").ok_or("a colon and types are missing")?;
    let types: BTreeSet<String> = types.split_whitespace().map(str::to_owned).collect();
    let unknown = types.iter().find(|name| !scene.kinds.iter().any(|kind| kind.name == **name));
    ensure(unknown.is_none(), || format!("there is no type {unknown:?}"))?;
    made(scene, &named(scene, patterns)?)?.iter().try_for_each(|claim| {
        let known = scene.types(claim).into_iter().collect();
        ensure(holds(&known, &types), || format!("they are {known:?}"))
    })
}

fn taints(scene: &Scene, rest: &str, field: &str) -> Verdict {
    let (patterns, taints) = rest.split_once(": ").ok_or("a colon and taints are missing")?;
    let wished: BTreeSet<String> = taints.split_whitespace().filter(|taint| *taint != "none").map(str::to_owned).collect();
    made(scene, &named(scene, patterns)?)?.iter().try_for_each(|claim| {
        let known = claim[field].as_array().ok_or_else(|| format!("{field} is not told"))?;
        let known: BTreeSet<String> = known.iter().map(text).collect();
        ensure(known == wished, || format!("they are {known:?}"))
    })
}

fn cheapest(scene: &Scene, rest: &str) -> Verdict {
    made(scene, &named(scene, rest)?)?.iter().try_for_each(|claim| {
        let least = scene.cheapest(claim).ok_or("nothing that is sold would do")?;
        let price = claim["pricePerHour"].as_f64().unwrap_or(f64::MAX);
        // A price is told in millionths.
        ensure(price <= least + 1e-6, || format!("{} costs {price}, and {least} would do", claim["instanceType"]))
    })
}

fn skew(scene: &Scene, rest: &str) -> Verdict {
    let (what, counts) = rest.split_once(": ").ok_or("a colon and counts are missing")?;
    let (key, selector) = what.split_once(' ').ok_or("KEY SELECTOR is missing")?;
    let found = scene.counts(key, selector);
    let mut sorted: Vec<String> = found.values().map(ToString::to_string).collect();
    sorted.sort();
    let mut wished: Vec<String> = counts.split_whitespace().map(str::to_owned).collect();
    wished.sort();
    ensure(sorted == wished, || format!("they are {found:?}"))
}

fn most(scene: &Scene, rest: &str) -> Verdict {
    let (what, most) = rest.split_once(": ").ok_or("a colon and a number are missing")?;
    let (key, selector) = what.split_once(' ').ok_or("KEY SELECTOR is missing")?;
    let most: usize = most.trim().parse().map_err(|_| format!("{most} is no number"))?;
    let found = scene.counts(key, selector);
    ensure(!found.is_empty() && found.values().all(|count| *count <= most), || format!("they are {found:?}"))
}

fn balanced(scene: &Scene, rest: &str) -> Verdict {
    let (what, most) = rest.split_once(": ").ok_or("a colon and a number are missing")?;
    let (key, selector) = what.split_once(' ').ok_or("KEY SELECTOR is missing")?;
    let most: usize = most.trim().parse().map_err(|_| format!("{most} is no number"))?;
    let mut found = scene.counts(key, selector);
    for place in scene.all_places() {
        if let Some(value) = scene.first(&place, key) {
            found.entry(value).or_default();
        }
    }
    let (least, largest) = (found.values().min(), found.values().max());
    let holds = least.zip(largest).is_some_and(|(least, largest)| largest - least <= most);
    ensure(holds, || format!("they are {found:?}"))
}

fn total(scene: &Scene, rest: &str) -> Verdict {
    let (field, number) = rest.split_once(": ").ok_or("a colon and a number are missing")?;
    let found = &scene.plan["totals"][field];
    ensure(text(found) == number, || format!("it is {found}"))
}

fn timed(scene: &Scene) -> Verdict {
    let found = &scene.plan["timing"]["solveSeconds"];
    ensure(found.as_f64().is_some_and(|seconds| seconds > 0.0), || format!("it is {found}"))
}

fn retired(scene: &Scene, rest: &str, wished: bool) -> Verdict {
    rest.split_whitespace().try_for_each(|node| {
        let goes = scene.plan["retire"].as_array().into_iter().flatten().any(|retired| retired["node"] == node);
        ensure(goes == wished, || format!("{node} {}", if goes { "goes" } else { "stays" }))
    })
}

fn told(scene: &Scene, words: &str, wished: bool) -> Verdict {
    ensure(scene.errors.contains(words) == wished, || format!("standard error is `{}`", scene.errors))
}
