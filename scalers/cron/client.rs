//! Looking at the clock.

use async_trait::async_trait;

use super::{Clock, Window};
use crate::broker::{Active, Answer, Broker as _, Client, Moment};
use crate::error::Error;

#[async_trait]
impl Client for Clock {
    type Connection = ();

    async fn open(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn read(&self, (): &mut (), windows: &[&Window], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        Ok(windows.iter().map(|window| self.look(window, moment)).collect())
    }
}

impl Clock {
    fn look(&self, window: &Window, moment: Moment) -> Result<Answer, Error> {
        let is_open = window.is_open(moment.now).map_err(|reason| Error::Inspect {
            broker: self.address(),
            what: format!("the window from {:?} to {:?} in {}", window.start.text, window.end.text, window.zone.name),
            reason,
        })?;
        let level = if is_open { f64::from(window.replicas.get()) } else { 0.0 };
        Ok(Answer { active: Active::Known(is_open), ..Answer::number(level) })
    }
}
