//! Notifications to systemd, if it started the exporter (sd_notify(3)).

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::debug!("cannot notify systemd of {state:?}: {error}");
    }
}

/// The exporter serves.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The exporter reads its configuration again; [`ready`] ends that.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => log::debug!("cannot notify systemd of a reload: {error}"),
    }
}

/// The exporter ends.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// The exporter's loop runs.
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// When [`alive`] is due.
#[derive(Debug)]
pub struct Watchdog(Option<Interval>);

/// Twice as often as systemd expects it.
#[must_use]
pub fn watchdog() -> Watchdog {
    let period = sd_notify::watchdog_enabled().map(|period| period / 2);
    Watchdog(period.filter(|period| !period.is_zero()).map(|period| {
        let mut due = interval(period);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        due
    }))
}

impl Watchdog {
    /// Waits until it is due; without a watchdog, permanently.
    pub async fn due(&mut self) {
        match &mut self.0 {
            Some(interval) => {
                interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}
