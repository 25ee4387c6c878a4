//! An Observer that runs in a node of the lab, in its own thread.

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

enum Request {
    Snapshot(oneshot::Sender<Snapshot>),
    Cost(Option<Measure>, oneshot::Sender<()>),
}

/// A live source in a node.
pub struct Watch {
    requests: Option<mpsc::UnboundedSender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Attaches in the network namespace `netns`.
    ///
    /// # Errors
    /// The source cannot be started.
    pub fn start(netns: &str, options: Options) -> Result<Self, LiveError> {
        let (requests, mut received) = mpsc::unbounded_channel::<Request>();
        let (started, attached) = std::sync::mpsc::channel();
        let netns = netns.to_owned();
        let thread = std::thread::spawn(move || {
            enter(&netns);
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            tokio::task::LocalSet::new().block_on(&runtime, async {
                let mut live = match Live::start(options).await {
                    Ok(live) => live,
                    Err(error) => return started.send(Err(error)).expect("the test is waiting"),
                };
                started.send(Ok(())).expect("the test is waiting");
                // The source is never cancelled while it works; requests are answered in between.
                loop {
                    match received.try_recv() {
                        Ok(Request::Snapshot(answer)) => {
                            drop(answer.send(live.read().expect("read the maps")))
                        }
                        Ok(Request::Cost(cost, done)) => {
                            live.measure_cost(cost).await.expect("start or stop measuring the cost");
                            let _ = done.send(());
                        }
                        Err(TryRecvError::Empty) => {
                            let soon = Instant::now() + Duration::from_millis(10);
                            live.run_until(soon).await.expect("run the source");
                        }
                        Err(TryRecvError::Disconnected) => break,
                    }
                }
                live.stop().await;
            });
        });
        attached.recv().expect("the thread is running")?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// All current counters.
    pub fn snapshot(&self) -> Snapshot {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Snapshot(answer));
        answered.blocking_recv().expect("an answer")
    }

    /// The cost measured so far.
    pub fn cost(&self) -> CostReport {
        Report::total(&self.snapshot()).cost.expect("the cost is measured")
    }

    /// Starts or stops measuring the cost.
    pub fn measure_cost(&self, cost: Option<Measure>) {
        let (done, is_done) = oneshot::channel();
        self.send(Request::Cost(cost, done));
        is_done.blocking_recv().expect("an answer");
    }

    fn send(&self, request: Request) {
        assert!(self.requests.as_ref().expect("it runs").send(request).is_ok(), "the thread has ended");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.requests.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(ended.is_none_or(|ended| ended.is_ok()), "the source panicked");
        }
    }
}

/// Packets and wire bytes of a device in a snapshot, over all classes.
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

/// One counter of a device and direction, merged over all classes.
pub fn total(snapshot: &Snapshot, device: &str, direction: Direction, counter: Total) -> u64 {
    let device = snapshot.devices.iter().find(|d| d.name == device).expect("the device is watched");
    let rows = device.totals.iter().filter(|totals| totals.direction == direction);
    let values = rows.map(|totals| totals.counters[counter as usize]);
    match counter.merge() {
        Merge::Sum => values.sum(),
        Merge::Max => values.max().unwrap_or(0),
    }
}
