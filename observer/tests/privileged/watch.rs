//! An Observer at work in a node of the lab, in a thread of its own.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use observer::kernel::{Live, LiveError, Measure, Options};
use observer::model::{CostReport, Report};
use observer::snapshot::Snapshot;
use observer_common::counters::{Merge, Total};
use observer_common::kind::Direction;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use crate::lab::{Traffic, enter};

enum Ask {
    Snapshot(oneshot::Sender<Snapshot>),
    Cost(Option<Measure>, oneshot::Sender<()>),
}

/// A live source in a node.
pub struct Watch {
    ask: Option<mpsc::UnboundedSender<Ask>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Attaches in the network namespace `netns`.
    ///
    /// # Errors
    /// The source's own.
    pub fn start(netns: &str, options: Options) -> Result<Self, LiveError> {
        let (ask, mut asked) = mpsc::unbounded_channel::<Ask>();
        let (started, attached) = std::sync::mpsc::channel();
        let netns = netns.to_owned();
        let thread = std::thread::spawn(move || {
            enter(&netns);
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            tokio::task::LocalSet::new().block_on(&runtime, async {
                let mut live = match Live::start(options).await {
                    Ok(live) => live,
                    Err(error) => return started.send(Err(error)).expect("somebody listens"),
                };
                started.send(Ok(())).expect("somebody listens");
                // Never cancelled in the middle: the source takes care in peace, then answers.
                loop {
                    match asked.try_recv() {
                        Ok(Ask::Snapshot(answer)) => drop(answer.send(live.read().expect("read the maps"))),
                        Ok(Ask::Cost(cost, done)) => {
                            live.measure_cost(cost).await.expect("begin or end the cost");
                            let _ = done.send(());
                        }
                        Err(TryRecvError::Empty) => {
                            let soon = Instant::now() + Duration::from_millis(10);
                            live.run_until(soon).await.expect("take care");
                        }
                        Err(TryRecvError::Disconnected) => break,
                    }
                }
                live.stop().await;
            });
        });
        attached.recv().expect("the thread lives")?;
        Ok(Self { ask: Some(ask), thread: Some(thread) })
    }

    /// All counters now.
    pub fn snapshot(&self) -> Snapshot {
        let (answer, answered) = oneshot::channel();
        self.ask(Ask::Snapshot(answer));
        answered.blocking_recv().expect("an answer")
    }

    /// What was measured of the cost up to now.
    pub fn cost(&self) -> CostReport {
        Report::total(&self.snapshot()).cost.expect("it was asked for")
    }

    /// Begins or ends the measurement of the cost.
    pub fn measure_cost(&self, cost: Option<Measure>) {
        let (done, is_done) = oneshot::channel();
        self.ask(Ask::Cost(cost, done));
        is_done.blocking_recv().expect("an answer");
    }

    fn ask(&self, ask: Ask) {
        assert!(self.ask.as_ref().expect("it runs").send(ask).is_ok(), "the thread lives");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.ask.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(ended.is_none_or(|ended| ended.is_ok()), "the source panicked");
        }
    }
}

/// Packets and wire bytes that a snapshot has for a device, all classes together.
pub fn counted(snapshot: &Snapshot, device: &str) -> Traffic {
    let mut sum = [(0, 0); 2];
    let device = snapshot.devices.iter().find(|d| d.name == device).expect("the device is watched");
    for totals in &device.totals {
        let (packets, bytes) = &mut sum[totals.direction as usize];
        *packets += totals.counters[Total::Packets as usize];
        *bytes += totals.counters[Total::WireBytes as usize];
    }
    sum
}

/// One counter of a device and direction, all classes together: their sum, or the largest.
pub fn total(snapshot: &Snapshot, device: &str, direction: Direction, counter: Total) -> u64 {
    let device = snapshot.devices.iter().find(|d| d.name == device).expect("the device is watched");
    let rows = device.totals.iter().filter(|totals| totals.direction == direction);
    let values = rows.map(|totals| totals.counters[counter as usize]);
    match counter.merge() {
        Merge::Sum => values.sum(),
        Merge::Max => values.max().unwrap_or(0),
    }
}
