//! The page of each kind in `docs/scalers`: made of its declaration, and fresh; and that of the rows that differ from KEDA's. `UPDATE=1`
//! writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use springtide_core::name::Key;

use crate::conformance;
use crate::parameter::REST;
use crate::{Age, AuthParams, KINDS, Kind, Parameter, ResolvedEnv, Secret, Source, parse};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scalers"))
}

/// A kind's page.
fn page(kind: &Kind) -> String {
    let name = kind.name;
    let mut page = format!("<!-- Made of scalers/{} by `cargo xtask gen`. -->\n# {name}\n\n{}.\n\n", file(name), kind.summary);
    let (own, shared) = kind.parameters.split_first().expect("each kind has parameters");
    let rest = kind.targets.iter().map(|target| &target.parameter).chain(&kind.activation);
    let (any, shared): (Vec<&[Parameter]>, Vec<&[Parameter]>) =
        shared.iter().copied().partition(|group| group.iter().all(|parameter| parameter.name == REST.name));
    page += "## Parameters\n\n";
    page += &table(kind, own.iter().chain(rest).chain(any.into_iter().flatten()));
    for group in shared {
        page += "\n## Server, login and certificates\n\n";
        page += &table(kind, group.iter());
    }
    page += "\nA text is trimmed, and an empty one counts as none. What may stand in several places is looked for in the trigger's metadata, then in its\n\
             TriggerAuthentication, then in the environment of the target's container.\n";
    write!(page, "\n## Example\n\n```yaml\n{}```\n", manifest(kind)).expect("text");
    page
}

/// The file that declares a kind: the one of its name, or of a kind whose name begins its own.
fn file(name: &str) -> String {
    let of = |name: &str| format!("{}.rs", name.replace('-', "_"));
    let names = std::iter::successors(Some(name), |name| name.rsplit_once('-').map(|(shorter, _)| shorter));
    let files = names.map(of).find(|file| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file).is_file());
    files.unwrap_or_else(|| panic!("{name} has no file"))
}

fn table<'p>(kind: &Kind, parameters: impl Iterator<Item = &'p Parameter>) -> String {
    let mut table = String::from("| parameter | where | value | without it | |\n| --- | --- | --- | --- | --- |\n");
    for parameter in parameters {
        let places: Vec<String> = parameter
            .sources
            .iter()
            .map(|source| match source {
                Source::Metadata => "metadata".to_owned(),
                Source::Auth => "authentication".to_owned(),
                Source::Environment => format!("`{}FromEnv`", parameter.name),
            })
            .collect();
        let value = if parameter.allowed.is_empty() { parameter.value.to_owned() } else { parameter.allowed.join(", ") };
        let is_target = kind.targets.iter().any(|target| target.parameter.name == parameter.name);
        let without = match (parameter.default, kind.default_target) {
            (Some(default), _) => format!("`{default}`"),
            (None, Some(target)) if is_target => format!("{target}, where none is given"),
            (None, None) if is_target => "needed".to_owned(),
            (None, _) if parameter.required => "needed".to_owned(),
            (None, _) => String::new(),
        };
        let what = match parameter.age {
            Age::Current => parameter.doc.to_owned(),
            Age::Deprecated(instead) => format!("{} Deprecated: {instead}.", parameter.doc),
            Age::Removed(instead) => format!("{} No longer read: {instead}.", parameter.doc),
        };
        let cells = [format!("`{}`", parameter.name), places.join(", "), value, without, what].map(|cell| cell.replace('|', "\\|"));
        writeln!(table, "| {} |", cells.join(" | ")).expect("text");
    }
    table
}

/// A text in quotes, in which JSON and YAML agree.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Objects that work together: a ScaledObject, and where the kind has secrets a TriggerAuthentication and the Secret that it names.
fn manifest(kind: &Kind) -> String {
    let replaced: BTreeSet<&str> = kind.example_auth.iter().chain(kind.example_more).map(|(key, _)| *key).collect();
    let metadata = kind.example.iter().filter(|(key, _)| !replaced.contains(key)).chain(kind.example_more);
    let mut text = String::from(
        "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata:\n  name: orders\nspec:\n  scaleTargetRef:\n    name: orders\n  \
         maxReplicaCount: 20\n  triggers:\n",
    );
    // What pods use themselves needs a metric type.
    let metric_type = if matches!(kind.name, "cpu" | "memory") { "\n      metricType: Utilization" } else { "" };
    writeln!(text, "    - type: {}{metric_type}\n      metadata:", kind.name).expect("text");
    for (key, value) in metadata {
        writeln!(text, "        {key}: {}", quoted(value)).expect("text");
    }
    if kind.example_auth.is_empty() {
        return text;
    }
    text += "      authenticationRef:\n        name: orders\n---\napiVersion: keda.sh/v1alpha1\nkind: TriggerAuthentication\nmetadata:\n  name: orders\n\
             spec:\n  secretTargetRef:\n";
    for (key, _) in kind.example_auth {
        writeln!(text, "    - {{parameter: {key}, name: orders, key: {key}}}").expect("text");
    }
    text += "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: orders\nstringData:\n";
    for (key, value) in kind.example_auth {
        writeln!(text, "  {key}: {}", quoted(value)).expect("text");
    }
    text
}

#[test]
fn pages_are_fresh() {
    let mut pages: BTreeMap<String, String> = KINDS.iter().map(|kind| (format!("{}.md", kind.name), page(kind))).collect();
    pages.insert("conformance.md".to_owned(), conformance::page());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(folder()).expect("the folder");
        for (name, text) in &pages {
            std::fs::write(folder().join(name), text).expect("written");
        }
    }
    for (name, text) in &pages {
        let present = std::fs::read_to_string(folder().join(name)).unwrap_or_default();
        assert!(present == *text, "docs/scalers/{name} is stale; run UPDATE=1 cargo test -p springtide-scalers pages_are_fresh");
    }
    for entry in std::fs::read_dir(folder()).expect("the folder") {
        let name = entry.expect("an entry").file_name();
        assert!(pages.contains_key(name.to_string_lossy().as_ref()), "docs/scalers/{} is made by nothing", name.to_string_lossy());
    }
}

/// The texts of an object of texts.
fn texts(value: &Value) -> BTreeMap<String, String> {
    value.as_object().into_iter().flatten().map(|(key, text)| (key.clone(), text.as_str().expect("a text").to_owned())).collect()
}

#[test]
fn examples_are_read_from_their_pages_and_work() {
    for kind in KINDS {
        let page = page(kind);
        let (_, example) = page.split_once("```yaml\n").expect("an example");
        let (example, _) = example.split_once("```").expect("its end");
        let objects: Vec<Value> = example.split("---\n").map(|text| serde_saphyr::from_str(text).expect("YAML")).collect();
        let find = |name: &str| objects.iter().find(|object| object["kind"] == name);
        let trigger = &find("ScaledObject").expect("a ScaledObject")["spec"]["triggers"][0];
        assert_eq!(trigger["type"], kind.name);
        let mut auth = AuthParams::new();
        if !trigger["authenticationRef"].is_null() {
            let authentication = find("TriggerAuthentication").expect("the authentication that is named");
            assert_eq!(authentication["metadata"]["name"], trigger["authenticationRef"]["name"]);
            let secret = find("Secret").expect("the Secret that is named");
            let data = texts(&secret["stringData"]);
            for reference in authentication["spec"]["secretTargetRef"].as_array().expect("references") {
                assert_eq!(reference["name"], secret["metadata"]["name"]);
                let reference = texts(reference);
                auth.texts.insert(reference["parameter"].clone(), Secret::from(data[&reference["key"]].as_str()));
            }
        }
        let metadata = texts(&trigger["metadata"]);
        let parsed = parse(&Key::new("default", "object"), kind.name, &metadata, &auth, &ResolvedEnv::new())
            .unwrap_or_else(|problems| panic!("{}: {problems:?}", kind.name));
        assert!(parsed.notices.is_empty() && kind.unknown(&metadata).is_empty(), "{}: {:?}", kind.name, parsed.notices);
        for (key, _) in kind.example_auth {
            let is_known = kind.all_parameters().any(|parameter| parameter.name == *key && parameter.sources.contains(&Source::Auth));
            assert!(is_known, "{} does not read {key} from an authentication", kind.name);
        }
        // A kind that has secrets shows how they are given.
        let has_secrets = kind.all_parameters().any(|parameter| parameter.secret && parameter.sources.contains(&Source::Auth));
        assert_eq!(has_secrets, !kind.example_auth.is_empty(), "{}", kind.name);
    }
}
