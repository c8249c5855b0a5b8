//! A dump that several threads share, each of other flows.
//!
//! The kernel writes a dump on the processor that asks for it, which limits a single socket to a single processor. Here,
//! several threads dump parts of the table at once, each over its own socket. A thread copies the flows out of its receive
//! buffer and delivers many at a time. The reader returns the buffers, and the threads fill them again.

use std::{
    collections::VecDeque,
    num::NonZero,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use super::{Client, Dump, kept::KeptFlows};
use crate::{
    error::{Error, ErrorKind},
    exchange::Connection,
    filter::{Filter, KernelFilter},
    model::{Family, Flow, FlowRef},
};

/// How [`Client::dump_partitioned`] divides the table. The kernel evaluates the parts, so that each thread receives only its
/// own flows.
///
/// # Example
///
/// ```
/// use ctnetlink::Partition;
///
/// assert_eq!(Partition::families().parts().len(), 2);
/// assert_eq!(Partition::zones([1, 2, 7]).parts().len(), 3);
/// assert_eq!(Partition::stable_mark_bits(0b11)?.parts().len(), 4);
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    parts: Vec<Filter>,
}

impl Partition {
    /// The number of mark bits that can divide a table: 16 parts.
    const MARK_BITS: u32 = 4;

    /// Divides flows into IPv4 and IPv6. No flow changes its family.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::Partition;
    ///
    /// println!("{} flows", client.dump_partitioned(&Partition::families())?.count());
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub fn families() -> Self {
        Self { parts: [Family::IPV4, Family::IPV6].map(Filter::family).into() }
    }

    /// Makes a part of each of these conntrack zones. No flow changes its zone. Flows in other zones are not dumped.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::Partition;
    ///
    /// println!("{} flows", client.dump_partitioned(&Partition::zones([0, 1, 2]))?.count());
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub fn zones(zones: impl IntoIterator<Item = u16>) -> Self {
        let zones: std::collections::BTreeSet<u16> = zones.into_iter().collect();
        Self { parts: zones.into_iter().map(Filter::zone).collect() }
    }

    /// Makes a part of each value that the bits of `mask` can have in the mark: two parts for one bit, four for two.
    ///
    /// The caller knows that no program and no rule changes these bits while the dump runs. If they change, a flow can be
    /// reported twice or not at all.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] if the mask has no bit or more than four.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::Partition;
    ///
    /// // Rules give each new flow a random lowest bit and never change it.
    /// let halves = Partition::stable_mark_bits(1)?;
    /// println!("{} flows", client.dump_partitioned(&halves)?.count());
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn stable_mark_bits(mask: u32) -> Result<Self, Error> {
        if !(1..=Self::MARK_BITS).contains(&mask.count_ones()) {
            let text = format!("expected a mask of one to {} bits, found {mask:#x}", Self::MARK_BITS);
            return Err(Error::message(ErrorKind::InvalidInput, text));
        }
        // The next value of the masked bits: the carry runs over all other bits.
        let next = |value: &u32| Some((value | !mask).wrapping_add(1) & mask).filter(|next| *next != 0);
        let values = std::iter::successors(Some(0), next);
        Ok(Self { parts: values.map(|value| Filter::mark_masked(value, mask)).collect() })
    }

    /// Returns the filter of each part.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Family, Filter, Partition};
    ///
    /// assert_eq!(Partition::families().parts(), [Filter::family(Family::IPV4), Filter::family(Family::IPV6)]);
    /// ```
    #[must_use]
    pub fn parts(&self) -> &[Filter] {
        &self.parts
    }
}

/// The flows of a table, as threads receive them. Made by [`Client::dump_partitioned`].
///
/// Like a [`Dump`], it is an iterator over values, and [`next_view`](Self::next_view) lends each flow. The parts are
/// interleaved: the order says nothing. Dropping it early ends the threads and their dumps.
///
/// # Example
///
/// ```no_run
/// # let mut client = ctnetlink::Client::open()?;
/// use ctnetlink::Partition;
///
/// let mut flows = client.dump_partitioned(&Partition::families())?;
/// while let Some(flow) = flows.next_view()? {
///     println!("{}", flow.original().source());
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "the threads wait until the dump is read"]
pub struct PartitionedDump {
    /// `None` after the end.
    received: Option<Receiver<Delivery>>,
    work: Arc<Work>,
    threads: Vec<JoinHandle<()>>,
    /// The threads that have more flows to deliver.
    running: usize,
    flows: KeptFlows,
    /// The flow that is read next.
    position: usize,
}

/// What a thread hands over.
#[derive(Debug)]
enum Delivery {
    Flows(KeptFlows),
    Failure(Error),
    /// The thread has nothing more to deliver.
    Finished,
}

/// What the threads share.
#[derive(Debug, Default)]
struct Work {
    /// The parts that no thread has taken, each with the dumps that the kernel is asked for.
    parts: Mutex<VecDeque<(Filter, Vec<KernelFilter>)>>,
    /// Buffers that were read, to be filled again.
    read: Mutex<Vec<KeptFlows>>,
}

/// No code that holds one of these locks can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    /// Dumps the table in parts, on as many threads as there are processors and parts.
    ///
    /// Each thread has a socket of its own; the client stays free for other requests. Two processors take about two thirds
    /// of the time of [`dump`](Self::dump) if the parts are of equal size. If this kernel cannot evaluate the parts
    /// ([`Filter::plan`] shows it), a single thread dumps the table and compares each flow with the filters.
    ///
    /// # Errors
    ///
    /// Fails if the kernel's capabilities cannot be probed, or a socket or a thread cannot be made: the namespace of a
    /// client made by `from_fd` is not known ([`ErrorKind::Unsupported`]). If the kernel refuses a part, the error is
    /// yielded as an item and ends the dump.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::Partition;
    ///
    /// let mut bytes = 0;
    /// for flow in client.dump_partitioned(&Partition::families())? {
    ///     bytes += flow?.total_counters().map_or(0, |counters| counters.bytes);
    /// }
    /// println!("{bytes} bytes");
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn dump_partitioned(&mut self, partition: &Partition) -> Result<PartitionedDump, Error> {
        let capabilities = self.capabilities()?;
        let planned = |part: Filter| {
            let dumps = part.plan(&capabilities).dumps().to_vec();
            (part, dumps)
        };
        let parts = partition.parts.iter().cloned();
        let parts = if partition.parts.iter().all(|part| part.plan(&capabilities).is_exact()) {
            parts.map(planned).collect()
        } else {
            parts.reduce(|one, other| one | other).into_iter().map(planned).collect()
        };
        PartitionedDump::start(&self.connection, parts)
    }
}

impl PartitionedDump {
    /// Deliveries of a thread that wait to be read. More would only take memory.
    const WAITING: usize = 2;

    fn start(connection: &Connection, parts: VecDeque<(Filter, Vec<KernelFilter>)>) -> Result<Self, Error> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(parts.len());
        let work = Arc::new(Work { parts: Mutex::new(parts), read: Mutex::default() });
        let (sender, received) = sync_channel(Self::WAITING * threads.max(1));
        let (flows, received) = (KeptFlows::default(), Some(received));
        let mut dump = Self { received, work, threads: Vec::new(), running: 0, flows, position: 0 };
        for _ in 0..threads {
            let worker =
                Worker { connection: connection.open_another()?, work: Arc::clone(&dump.work), sender: sender.clone() };
            dump.threads.push(thread::Builder::new().name("conntrack dump".into()).spawn(|| worker.run())?);
            dump.running += 1;
        }
        Ok(dump)
    }

    /// Returns the next flow in the buffer that a thread has handed over, or `Ok(None)` after the last.
    ///
    /// # Errors
    ///
    /// An error of the kernel or a socket ends the dump. After an entry that does not decode
    /// ([`ErrorKind::Decode`]) it goes on.
    #[inline]
    pub fn next_view(&mut self) -> Result<Option<FlowRef<'_>>, Error> {
        while self.position == self.flows.length() {
            if !self.receive()? {
                return Ok(None);
            }
        }
        self.position += 1;
        Ok(self.flows.get(self.position - 1))
    }

    /// Waits for the next delivery; `false` after the last.
    fn receive(&mut self) -> Result<bool, Error> {
        while let (Some(received), 1..) = (&self.received, self.running) {
            match received.recv() {
                Ok(Delivery::Flows(flows)) => {
                    let mut read = std::mem::replace(&mut self.flows, flows);
                    read.clear();
                    lock(&self.work.read).push(read);
                    self.position = 0;
                    return Ok(true);
                }
                Ok(Delivery::Finished) => self.running -= 1,
                Ok(Delivery::Failure(error)) => {
                    if error.ends_answer() {
                        self.end();
                    }
                    return Err(error);
                }
                // Every thread says that it has finished, unless it panics.
                Err(_) => {
                    self.end();
                    return Err(Error::message(ErrorKind::Other, "a thread of the dump ended early"));
                }
            }
        }
        self.end();
        Ok(false)
    }

    /// Ends the threads. Nothing can be delivered any more, which they notice at their next delivery.
    fn end(&mut self) {
        self.received = None;
        lock(&self.work.parts).clear();
        for thread in self.threads.drain(..) {
            // A panic has printed itself.
            let _ = thread.join();
        }
    }
}

impl Drop for PartitionedDump {
    fn drop(&mut self) {
        self.end();
    }
}

impl Iterator for PartitionedDump {
    type Item = Result<Flow, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_view().transpose()?.map(|flow| flow.to_flow()))
    }
}

/// A thread of a dump.
struct Worker {
    connection: Connection,
    work: Arc<Work>,
    sender: SyncSender<Delivery>,
}

/// The dump was dropped or has failed: nobody wants the rest.
struct Unwanted;

impl Worker {
    /// The bytes of flows that are worth a delivery: some four datagrams.
    const DELIVERY: usize = 128 * 1024;

    fn run(mut self) {
        // If the dump was dropped, no reader is left for an error.
        let _ = self.dump_parts();
    }

    fn dump_parts(&mut self) -> Result<(), Unwanted> {
        loop {
            let Some((filter, dumps)) = lock(&self.work.parts).pop_front() else { break };
            self.dump(&filter, &dumps)?;
        }
        deliver(&self.sender, Delivery::Finished)
    }

    fn dump(&mut self, filter: &Filter, dumps: &[KernelFilter]) -> Result<(), Unwanted> {
        let mut flows = KeptFlows::default();
        let Self { connection, work, sender } = self;
        let mut dump = Dump::<Flow>::planned(filter, dumps, connection);
        loop {
            match dump.next_view() {
                Ok(Some(flow)) => flows.push(&flow),
                Ok(None) => return deliver(sender, Delivery::Flows(flows)),
                Err(error) => {
                    let is_last = error.ends_answer();
                    deliver(sender, Delivery::Flows(std::mem::take(&mut flows)))?;
                    deliver(sender, Delivery::Failure(error))?;
                    if is_last {
                        return Err(Unwanted);
                    }
                }
            }
            if flows.bytes() >= Self::DELIVERY {
                let empty = lock(&work.read).pop().unwrap_or_default();
                deliver(sender, Delivery::Flows(std::mem::replace(&mut flows, empty)))?;
            }
        }
    }
}

fn deliver(sender: &SyncSender<Delivery>, delivery: Delivery) -> Result<(), Unwanted> {
    sender.send(delivery).map_err(|_| Unwanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_bits_make_a_part_of_each_value() {
        let parts = |mask| Partition::stable_mark_bits(mask).map(|partition| partition.parts);
        let masked = |values: &[u32], mask| -> Vec<Filter> {
            values.iter().map(|value| Filter::mark_masked(*value, mask)).collect()
        };
        assert_eq!(parts(0x8000_0000).unwrap(), masked(&[0, 0x8000_0000], 0x8000_0000));
        assert_eq!(parts(0b101).unwrap(), masked(&[0, 1, 4, 5], 0b101));
        assert_eq!(parts(0).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(parts(0xff).unwrap_err().to_string(), "expected a mask of one to 4 bits, found 0xff");
    }
}
