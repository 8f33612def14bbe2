//! What tests of scalers have in common: triggers from the words of a line, tables of what is accepted, and reads of several triggers at
//! once.

use std::collections::BTreeMap;
use std::sync::Arc;

use springtide_core::name::Key;
use springtide_core::reading::Sample;

use crate::broker::Moment;
use crate::cluster::ClusterView;
use crate::{AuthParams, Error, Problem, ResolvedEnv, Secret, Trigger, parse};

/// What no message may repeat: rows of tables have it as a text wherever one is secret.
const SECRET: &str = "s3cret";

/// A row of a table: metadata, authentication, and the fields that problems are about, sorted (none: it is fine).
pub(crate) type Row = (&'static str, &'static str, &'static [&'static str]);

/// The pairs of a line, `key=text key=text`.
fn pairs(line: &str) -> BTreeMap<String, String> {
    line.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(key, text)| (key.to_owned(), text.to_owned())).collect()
}

/// A trigger of this kind, with metadata and authentication in the words of one line each.
pub(crate) fn trigger(kind: &str, metadata: &str, auth: &str, env: &ResolvedEnv) -> Result<Trigger, Vec<Problem>> {
    let auth: AuthParams = pairs(auth).into_iter().map(|(key, text)| (key, Secret::from(text))).collect();
    parse(&Key::new("default", "object"), kind, &pairs(metadata), &auth, env)
}

/// Each row is accepted, or names its problems, all at once and without a secret.
pub(crate) fn judge(kind: &str, rows: &[Row], env: &ResolvedEnv) {
    for (metadata, auth, expected) in rows {
        let problems = trigger(kind, metadata, auth, env).err().unwrap_or_default();
        let mut named: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        let mut expected = expected.to_vec();
        named.sort_unstable();
        expected.sort_unstable();
        assert_eq!(named, expected, "{metadata} / {auth}: {problems:#?}");
        for problem in problems {
            let text = problem.to_string();
            assert!(!text.contains(SECRET) && env.keys().all(|name| !text.contains(name)) && !problem.remedy.is_empty(), "{text}");
        }
    }
}

/// One read of triggers of one broker, where there is no cluster.
pub(crate) async fn read_all(triggers: &[Trigger], moment: Moment) -> Result<Vec<Result<Sample, Error>>, Error> {
    read_all_in(None, triggers, moment).await
}

/// One read of triggers of one broker.
pub(crate) async fn read_all_in(
    cluster: Option<&Arc<dyn ClusterView>>,
    triggers: &[Trigger],
    moment: Moment,
) -> Result<Vec<Result<Sample, Error>>, Error> {
    let mut open = triggers[0].connection.open_in(cluster).await?;
    let queries: Vec<_> = triggers.iter().map(|trigger| trigger.query.clone()).collect();
    let answers = open.read(&queries, moment).await?;
    Ok(answers.into_iter().zip(triggers).map(|(answer, trigger)| Ok(answer?.sample(trigger.activation, moment.now))).collect())
}
