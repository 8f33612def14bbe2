//! Asking for counts, by the Queue service's REST interface.

use async_trait::async_trait;
use futures::FutureExt as _;
use roxmltree::Document;

use super::{Query, Storage, Strategy};
use crate::broker::{Answer, Client, Moment};
use crate::error::Error;
use crate::http::{Answered, Asker, Question, Session, gather, segment};

/// The version of the interface: the parts used are the same in all since 2017, and this one every emulator knows.
const VERSION: (&str, &str) = ("x-ms-version", "2021-12-02");
/// Where the count is told.
const COUNT: &str = "x-ms-approximate-messages-count";
/// How many messages the service shows at most.
const MOST: usize = 32;

#[async_trait]
impl Client for Storage {
    type Connection = Session;

    async fn open(&self) -> Result<Session, Error> {
        self.place.open()
    }

    async fn read(&self, session: &mut Session, queries: &[&Query], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        let asker = self.place.server()?.asker(session, moment).await?;
        let asked = queries.iter().map(|query| self.count(query, &asker).boxed()).collect();
        gather(session, asked).await
    }
}

impl Storage {
    async fn count(&self, query: &Query, asker: &Asker<'_>) -> Result<Answer, Error> {
        if query.strategy == Strategy::VisibleOnly {
            let seen = self.seen(query, asker).await?;
            if seen < MOST {
                let ready = u64::try_from(seen).ok();
                #[allow(clippy::cast_precision_loss, reason = "fewer than 32")]
                return Ok(Answer { ready, ..Answer::number(seen as f64) });
            }
        }
        let what = format!("the number of messages in queue {:?}", query.queue);
        let answered = self.ask(asker, &segment(&query.queue), &[("comp", "metadata")], &what).await?;
        let count = answered.headers.get(COUNT).and_then(|count| count.to_str().ok()).and_then(|count| count.parse::<u32>().ok());
        let count =
            count.ok_or_else(|| asker.without_number(&what, format!("nothing that counts ({COUNT}); this may be no storage account")))?;
        Ok(Answer::number(f64::from(count)))
    }

    /// How many messages a worker could take, as far as the service shows them.
    async fn seen(&self, query: &Query, asker: &Asker<'_>) -> Result<usize, Error> {
        let what = format!("the first messages of queue {:?}", query.queue);
        let most = MOST.to_string();
        let path = format!("{}/messages", segment(&query.queue));
        let answered = self.ask(asker, &path, &[("peekonly", "true"), ("numofmessages", &most)], &what).await?;
        let text = String::from_utf8(answered.body).map_err(|error| asker.unreadable(&what, error))?;
        // Some servers put a mark of the byte order before the document.
        let document = Document::parse(text.trim_start_matches('\u{feff}')).map_err(|error| asker.unreadable(&what, error))?;
        let list = document.root_element();
        if !list.has_tag_name("QueueMessagesList") {
            return Err(asker.unreadable(&what, "no list of messages"));
        }
        Ok(list.children().filter(|child| child.has_tag_name("QueueMessage")).count())
    }

    async fn ask(&self, asker: &Asker<'_>, path: &str, parameters: &[(&str, &str)], what: &str) -> Result<Answered, Error> {
        let mut all: Vec<(&str, &str)> = self.parameters.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        all.extend(parameters);
        let question = Question { path: &format!("/{path}"), parameters: &all, headers: &[VERSION], body: None };
        asker.ask(question, what).await
    }
}
