//! A dump that several threads share, each of other flows.
//!
//! The kernel writes a dump on the processor that asks for it, which limits a single socket to a single processor. Here,
//! several threads dump parts of the table at once, each over its own socket. A thread copies the messages out of its
//! receive buffer, without reading their attributes, and delivers many at a time. The reader returns the buffers, and the
//! threads fill them again.

use std::{
    collections::VecDeque,
    fmt,
    num::NonZero,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use super::{Client, Dump, dump::DumpStep, kernel::probe};
use crate::{
    error::{Error, ErrorKind, Operation},
    exchange::{Connection, Transport, complete},
    filter::{Capabilities, Filter, KernelFilter},
    model::{Family, Flow, FlowRef},
    wire::{Messages, RawMessage},
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
    /// Whether every flow is in a part.
    is_whole: bool,
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
        Self { parts: [Family::IPV4, Family::IPV6].map(Filter::family).into(), is_whole: true }
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
        Self { parts: zones.into_iter().map(Filter::zone).collect(), is_whole: false }
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
        Ok(Self { parts: values.map(|value| Filter::mark_masked(value, mask)).collect(), is_whole: true })
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

    /// The parts as this kernel is asked for them, if it can evaluate each of them alone.
    fn exact_parts(&self, capabilities: &Capabilities) -> Option<Vec<Part>> {
        let part = |filter: &Filter| {
            let plan = filter.plan(capabilities);
            plan.is_exact().then(|| Part { dumps: plan.dumps().to_vec(), selection: None })
        };
        self.parts.iter().map(part).collect()
    }

    /// All parts as one, whose flows are compared with the filters.
    fn single_part(&self, capabilities: &Capabilities) -> Vec<Part> {
        let whole = self.parts.iter().cloned().reduce(|one, other| one | other);
        let part = |filter: Filter| Part { dumps: filter.plan(capabilities).dumps().to_vec(), selection: Some(filter) };
        whole.into_iter().map(part).collect()
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
    /// `None` after the end. Never locked: the lock only makes it shareable between threads.
    received: Option<Mutex<Receiver<Delivery>>>,
    work: Arc<Work>,
    threads: Vec<JoinHandle<()>>,
    /// The threads that have more flows to deliver.
    running: usize,
    /// The delivery that is being read: messages back to back.
    messages: Vec<u8>,
    /// Where the next of them begins.
    position: usize,
}

/// What a thread hands over.
#[derive(Debug)]
enum Delivery {
    /// Messages back to back, each with a flow.
    Flows(Vec<u8>),
    Failure(Error),
    /// The thread has nothing more to deliver.
    Finished,
}

/// What the threads share.
#[derive(Debug)]
struct Work {
    /// The parts that no thread has taken.
    parts: Mutex<VecDeque<Part>>,
    /// Buffers that were read, to be filled again.
    read: Mutex<Vec<Vec<u8>>>,
    /// `None` if nobody watches the buckets.
    buckets: Option<Buckets>,
    /// Whether the number of buckets was ever seen to differ.
    is_disturbed: AtomicBool,
    /// Whether nobody wants the rest. A thread whose flows match no filter delivers nothing that would show it.
    is_over: AtomicBool,
}

/// The buckets of the table: their number at the begin of the dump, and how to read it again.
struct Buckets {
    number: Option<u32>,
    read: ReadBuckets,
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Work {
    fn look_at_buckets(&self) {
        if self.buckets.as_ref().is_some_and(|buckets| (buckets.read)() != buckets.number) {
            self.is_disturbed.store(true, Ordering::Relaxed);
        }
    }
}

/// A part of the table.
#[derive(Clone, Debug)]
struct Part {
    /// What the kernel is asked for, one after the other.
    dumps: Vec<KernelFilter>,
    /// What its flows are compared with, if the kernel sends others too.
    selection: Option<Filter>,
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
        let parts = partition.exact_parts(&capabilities).unwrap_or_else(|| partition.single_part(&capabilities));
        PartitionedDump::start(&self.connection, parts, None)
    }
}

/// Dumps of the whole table that threads share, one after the other.
#[derive(Debug)]
pub(crate) struct PartitionedDumps {
    /// Opens those of the threads.
    connection: Connection,
    parts: Vec<Part>,
}

impl PartitionedDumps {
    /// Probes the kernel of a connection. `None` if it cannot evaluate the parts. Refuses a partition that leaves flows out.
    pub(crate) fn new<T: Transport>(
        partition: &Partition,
        connection: &mut Connection<T>,
    ) -> Result<Option<Self>, Error> {
        if !partition.is_whole {
            let text = "a mirror needs all flows, and the partition leaves out those of other zones";
            return Err(Error::message(ErrorKind::InvalidInput, text));
        }
        let capabilities = complete(probe(connection, Operation::DumpFlows))?;
        let Some(parts) = partition.exact_parts(&capabilities) else { return Ok(None) };
        Ok(Some(Self { connection: connection.open_another()?, parts }))
    }

    /// Begins a dump, which is [disturbed](PartitionedDump::is_disturbed) if the number of buckets changes.
    pub(crate) fn start(&self, buckets: Option<ReadBuckets>) -> Result<PartitionedDump, Error> {
        PartitionedDump::start(&self.connection, self.parts.clone(), buckets)
    }
}

/// Reads the number of buckets of the kernel's table.
pub(crate) type ReadBuckets = Arc<dyn Fn() -> Option<u32> + Send + Sync>;

impl PartitionedDump {
    /// Deliveries of a thread that wait to be read. More would only take memory.
    const WAITING: usize = 2;

    fn start(connection: &Connection, parts: Vec<Part>, buckets: Option<ReadBuckets>) -> Result<Self, Error> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(parts.len());
        let buckets = buckets.map(|read| Buckets { number: read(), read });
        let (parts, read) = (Mutex::new(parts.into()), Mutex::default());
        let (is_disturbed, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        let work = Arc::new(Work { parts, read, buckets, is_disturbed, is_over });
        let (sender, received) = sync_channel(Self::WAITING * threads.max(1));
        let (received, messages) = (Some(Mutex::new(received)), Vec::new());
        let mut dump = Self { received, work, threads: Vec::new(), running: 0, messages, position: 0 };
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
        Ok(self.next_message()?.map(|message| FlowRef::parse(&message)).transpose()?)
    }

    /// Returns the message of the next flow, or `Ok(None)` after the last. Fails like [`next_view`](Self::next_view), except
    /// that the attributes are not read.
    #[inline]
    pub(crate) fn next_message(&mut self) -> Result<Option<RawMessage<'_>>, Error> {
        while self.is_between_deliveries() {
            if !self.receive()? {
                return Ok(None);
            }
        }
        // Offsets in errors count from the beginning of the message.
        let mut messages = Messages::new(self.messages.get(self.position..).unwrap_or_default());
        let message = messages.next().transpose()?;
        self.position += messages.offset();
        Ok(message)
    }

    /// Whether every flow of the last delivery was returned.
    #[inline]
    pub(crate) fn is_between_deliveries(&self) -> bool {
        self.position >= self.messages.len()
    }

    /// Whether the table was resized while it was dumped. Final at the end of the dump.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.work.is_disturbed.load(Ordering::Relaxed)
    }

    /// Waits for the next delivery; `false` after the last.
    fn receive(&mut self) -> Result<bool, Error> {
        while let (Some(received), 1..) = (&mut self.received, self.running) {
            match received.get_mut().unwrap_or_else(PoisonError::into_inner).recv() {
                Ok(Delivery::Flows(messages)) => {
                    let mut read = std::mem::replace(&mut self.messages, messages);
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

    /// Ends the threads. Nothing can be delivered any more, which they notice before their next receive.
    fn end(&mut self) {
        self.received = None;
        self.work.is_over.store(true, Ordering::Relaxed);
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
        let message = self.next_message().transpose()?;
        Some(message.and_then(|message| Flow::decode(&message).map_err(Error::from)))
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
            let Some(part) = lock(&self.work.parts).pop_front() else { break };
            self.dump(part)?;
        }
        deliver(&self.sender, Delivery::Finished)
    }

    fn dump(&mut self, Part { dumps, selection }: Part) -> Result<(), Unwanted> {
        let mut messages = Vec::new();
        let Self { connection, work, sender } = self;
        let mut dump = Dump::<Flow>::planned(selection, &dumps, connection);
        loop {
            match advance(&mut dump, work) {
                Ok(true) => dump.current().into_iter().for_each(|message| message.append_to(&mut messages)),
                Ok(false) => return deliver(sender, Delivery::Flows(messages)),
                Err(error) => {
                    let is_last = error.ends_answer();
                    deliver(sender, Delivery::Flows(std::mem::take(&mut messages)))?;
                    deliver(sender, Delivery::Failure(error))?;
                    if is_last {
                        return Err(Unwanted);
                    }
                }
            }
            if messages.len() >= Self::DELIVERY {
                let empty = lock(&work.read).pop().unwrap_or_default();
                deliver(sender, Delivery::Flows(std::mem::replace(&mut messages, empty)))?;
            }
        }
    }
}

/// Goes on to the next flow; `false` at the end.
fn advance(dump: &mut Dump<'_>, work: &Work) -> Result<bool, Error> {
    loop {
        match dump.step()? {
            DumpStep::Entry => return Ok(true),
            DumpStep::End => return Ok(false),
            _ if work.is_over.load(Ordering::Relaxed) => return Ok(false),
            needed => {
                // Looking on both sides of every receive finds each resize: see the synchronizer.
                work.look_at_buckets();
                complete(dump.provide(needed))?;
                work.look_at_buckets();
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

    /// A kernel with that many flows, each in a datagram of its own.
    #[cfg(feature = "fake")]
    fn kernel_with(flows: u16) -> crate::fake::FakeKernel {
        let kernel = crate::fake::FakeKernel::builder().entries_per_datagram(1).build();
        for port in 1..=flows {
            let original = crate::Tuple::udp(([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], 53).into());
            kernel.insert(&crate::NewFlow::new(original, original.inverted().unwrap(), 30)).unwrap();
        }
        kernel
    }

    #[cfg(feature = "fake")]
    #[test]
    fn resize_between_any_two_receives_disturbs_a_dump() {
        use std::sync::atomic::AtomicU32;

        let kernel = kernel_with(3);
        let mut connection = kernel.client().connection;
        let dumps = PartitionedDumps::new(&Partition::stable_mark_bits(1).unwrap(), &mut connection).unwrap().unwrap();
        let looks = Arc::new(AtomicU32::new(0));
        let dump_of_a_table = |resized_at: u32| {
            looks.store(0, Ordering::Relaxed);
            let looks = Arc::clone(&looks);
            let read = move || Some(if looks.fetch_add(1, Ordering::Relaxed) == resized_at { 2048 } else { 1024 });
            let mut dump = dumps.start(Some(Arc::new(read))).unwrap();
            let flows = dump.by_ref().map(Result::unwrap).count();
            (flows, dump.is_disturbed())
        };
        assert_eq!(dump_of_a_table(u32::MAX), (3, false));
        let count = looks.load(Ordering::Relaxed);
        assert!(count > 8, "{count}");
        for look in 0..count {
            assert_eq!(dump_of_a_table(look), (3, true), "{look}");
        }
    }

    #[cfg(feature = "fake")]
    #[test]
    fn dropped_dump_ends_its_threads_even_if_no_flow_matches() {
        use std::{sync::atomic::AtomicU32, time::Duration};

        let kernel = kernel_with(1000);
        let looks = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&looks);
        let read = move || {
            thread::sleep(Duration::from_millis(1));
            counter.fetch_add(1, Ordering::Relaxed);
            None
        };
        let parts = vec![Part { dumps: vec![KernelFilter::default()], selection: Some(Filter::zone(7)) }];
        let connection = kernel.client().connection;
        let dump = PartitionedDump::start(&connection, parts, Some(Arc::new(read))).unwrap();
        while looks.load(Ordering::Relaxed) < 10 {
            thread::yield_now();
        }
        drop(dump);
        assert!(looks.load(Ordering::Relaxed) < 1000, "a whole dump takes 2000");
    }

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
