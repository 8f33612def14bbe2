//! Brokers in the same process, for what a real cluster does seldom: old versions, groups that move, one broker that is silent among others.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::bytes::{Form, Reader, Writer};
use super::messages::{ApiVersions, FindCoordinator, ListOffsets, Metadata, OffsetFetch, Request as _};

/// What all groups have committed on each partition.
pub(super) const COMMITTED: i64 = 3;
/// Where each partition ends.
pub(super) const END: i64 = 10;

/// A topic "t" with a partition led by each broker, and groups that any of them keeps.
#[derive(Clone)]
pub(super) struct Brokers(Arc<Mutex<World>>);

struct World {
    form: Form,
    ports: Vec<u16>,
    /// Which broker keeps a group; the first one, where it is not said.
    keepers: BTreeMap<String, i32>,
    silent: BTreeSet<i32>,
    /// Who was asked what.
    asked: Vec<(i32, i16)>,
}

impl Brokers {
    /// So many brokers, which know the joined questions or only those for one group.
    pub(super) async fn serve(count: i32, form: Form) -> Self {
        let world = World { form, ports: Vec::new(), keepers: BTreeMap::new(), silent: BTreeSet::new(), asked: Vec::new() };
        let brokers = Self(Arc::new(Mutex::new(world)));
        for number in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            brokers.world().ports.push(listener.local_addr().expect("an address").port());
            let brokers = brokers.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let brokers = brokers.clone();
                    tokio::spawn(async move { brokers.answer(number, stream).await });
                }
            });
        }
        brokers
    }

    /// The first one's address.
    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.world().ports[0])
    }

    /// Lets another broker keep a group.
    pub(super) fn keep(&self, group: &str, broker: i32) {
        self.world().keepers.insert(group.to_owned(), broker);
    }

    /// Lets a broker answer no more.
    pub(super) fn silence(&self, broker: i32) {
        self.world().silent.insert(broker);
    }

    /// Who was asked what since the last time, sorted.
    pub(super) fn asked(&self) -> Vec<(i32, i16)> {
        let mut asked = std::mem::take(&mut self.world().asked);
        asked.sort_unstable();
        asked
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no test panics with it")
    }

    async fn answer(&self, number: i32, mut stream: TcpStream) {
        while let Ok(length) = stream.read_u32().await {
            let mut question = vec![0; length as usize];
            if stream.read_exact(&mut question).await.is_err() {
                return;
            }
            if self.world().silent.contains(&number) {
                pending::<()>().await;
            }
            let answer = self.world().answer(number, &question);
            stream.write_u32(u32::try_from(answer.len()).expect("short")).await.expect("somebody listens");
            stream.write_all(&answer).await.expect("somebody listens");
        }
    }
}

impl World {
    fn answer(&mut self, number: i32, question: &[u8]) -> Vec<u8> {
        let (classic, form) = (Form::Classic, self.form);
        let mut reader = Reader(question);
        let (key, version, correlation) = (reader.i16().expect("a key"), reader.i16().expect("a version"), reader.i32().expect("a number"));
        assert_eq!(reader.text(classic).as_deref(), Ok("springtide"));
        self.asked.push((number, key));
        let mut writer = Writer::default();
        writer.i32(correlation);
        match (key, version) {
            (ApiVersions::KEY, 0) => {
                writer.i16(0);
                let newest = if form == Form::Compact { 9 } else { 3 };
                let known = [ListOffsets::KEY, Metadata::KEY, OffsetFetch::KEY, FindCoordinator::KEY];
                writer.list(classic, &known, |writer, key| {
                    writer.i16(*key);
                    writer.i16(0);
                    writer.i16(newest);
                });
            }
            (Metadata::KEY, 4) => {
                let asked = reader.list(classic, |reader| reader.text(classic)).expect("topics");
                self.metadata(&mut writer, &asked);
            }
            (FindCoordinator::KEY, 1) => {
                let broker = self.keeper(&reader.text(classic).expect("a group"));
                writer.i32(0);
                writer.i16(0);
                writer.text(classic, "");
                writer.i32(broker);
                writer.text(classic, "127.0.0.1");
                writer.i32(0);
            }
            (FindCoordinator::KEY, 4) => {
                reader.end(form).expect("a header");
                reader.i8().expect("a kind of key");
                let groups = reader.list(form, |reader| reader.text(form)).expect("groups");
                writer.end(form);
                writer.i32(0);
                writer.list(form, &groups, |writer, group| {
                    writer.text(form, group);
                    writer.i32(self.keeper(group));
                    writer.text(form, "127.0.0.1");
                    writer.i32(0);
                    writer.i16(0);
                    writer.text(form, "");
                    writer.end(form);
                });
                writer.end(form);
            }
            (OffsetFetch::KEY, 2) => {
                let group = reader.text(classic).expect("a group");
                let error = self.offsets(&mut writer, &group, number);
                writer.i16(error);
            }
            (OffsetFetch::KEY, 8) => {
                reader.end(form).expect("a header");
                let groups = reader.list(form, |reader| {
                    let group = reader.text(form)?;
                    reader.list(form, |reader| {
                        reader.text(form)?;
                        reader.list(form, Reader::i32)?;
                        reader.end(form)
                    })?;
                    reader.end(form)?;
                    Ok(group)
                });
                writer.end(form);
                writer.i32(0);
                writer.list(form, &groups.expect("groups"), |writer, group| {
                    writer.text(form, group);
                    let error = self.offsets(writer, group, number);
                    writer.i16(error);
                    writer.end(form);
                });
                writer.end(form);
            }
            (ListOffsets::KEY, 1) => {
                writer.list(classic, &["t"], |writer, topic| {
                    writer.text(classic, topic);
                    writer.list(classic, &[number], |writer, partition| {
                        writer.i32(*partition);
                        writer.i16(0);
                        writer.i64(-1);
                        writer.i64(END);
                    });
                });
            }
            other => panic!("nobody asks for {other:?}"),
        }
        writer.0
    }

    fn numbers(&self) -> Vec<i32> {
        (0..).take(self.ports.len()).collect()
    }

    fn keeper(&self, group: &str) -> i32 {
        self.keepers.get(group).copied().unwrap_or(0)
    }

    fn metadata(&self, writer: &mut Writer, asked: &[String]) {
        let form = Form::Classic;
        writer.i32(0);
        let brokers: Vec<(i32, u16)> = self.numbers().into_iter().zip(self.ports.iter().copied()).collect();
        writer.list(form, &brokers, |writer, (number, port)| {
            writer.i32(*number);
            writer.text(form, "127.0.0.1");
            writer.i32(i32::from(*port));
            writer.text(form, "");
        });
        writer.text(form, "");
        writer.i32(0);
        writer.list(form, asked, |writer, topic| {
            writer.i16(0);
            writer.text(form, topic);
            writer.i8(0);
            writer.list(form, &self.numbers(), |writer, number| {
                writer.i16(0);
                writer.i32(*number);
                writer.i32(*number);
                writer.list(form, &[*number], |writer, number| writer.i32(*number));
                writer.list(form, &[*number], |writer, number| writer.i32(*number));
            });
        });
    }

    /// What a group has committed; the error, if it is another broker that keeps it.
    fn offsets(&self, writer: &mut Writer, group: &str, number: i32) -> i16 {
        const NOT_COORDINATOR: i16 = 16;
        let form = self.form;
        let is_ours = self.keeper(group) == number;
        let topics = if is_ours { &["t"][..] } else { &[] };
        writer.list(form, topics, |writer, topic| {
            writer.text(form, topic);
            writer.list(form, &self.numbers(), |writer, partition| {
                writer.i32(*partition);
                writer.i64(COMMITTED);
                if form == Form::Compact {
                    writer.i32(0);
                }
                writer.text(form, "");
                writer.i16(0);
                writer.end(form);
            });
            writer.end(form);
        });
        if is_ours { 0 } else { NOT_COORDINATOR }
    }
}
