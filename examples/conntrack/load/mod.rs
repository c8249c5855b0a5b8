//! `-R`: runs the commands of a file.

mod lines;
mod words;

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

use ctnetlink::{Client, Errno, FlowKey, format::LabelMap};

use crate::{
    arguments::{Arguments, Parameter},
    failure::{Failure, Outcome},
    interrupt,
    progress::Progress,
    report,
    request::{self, Answers},
    table,
};
use lines::{Creation, Job, Lines, arguments_of};

/// Jobs that may wait for the kernel.
const WAITING: usize = 8;
/// Time after which a signal is noticed while no line comes.
const PATIENCE: Duration = Duration::from_millis(100);
/// Refusals that are reported one by one.
const REPORTED: u64 = 20;

/// Runs the commands of a file in order. One thread parses lines while another waits for the kernel.
///
/// An invalid line ends the load after the lines before it. A line that the kernel refuses is reported with its number,
/// and the load continues.
pub fn load(arguments: &Arguments) -> Outcome {
    let path = arguments.file.as_deref().unwrap_or("-").to_owned();
    let labels = match &arguments.label_map {
        Some(labels) => labels.clone(),
        // Without a file, only a line that names a label fails.
        None if Path::new(LabelMap::DEFAULT_PATH).exists() => LabelMap::open(LabelMap::DEFAULT_PATH)?,
        None => LabelMap::default(),
    };
    let labels = Arc::new(labels);
    let mut loader = Loader::new(path.clone(), Arc::clone(&labels), arguments.has(Parameter::Explain))?;
    interrupt::listen()?;
    let (sender, jobs) = sync_channel(WAITING);
    let reader = thread::spawn(|| Lines::new(path, labels, sender).read());
    let done = loader.run_all(&jobs);
    drop(loader.progress);
    if let Err(failure) = done {
        // The reader is not joined: it may be waiting for a line.
        report(&loader.tally);
        return Err(failure);
    }
    reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let tally = loader.tally;
    match loader.is_dry {
        true if tally.refused == 0 => report(format_args!("checked {}; nothing was sent", lines(tally.done))),
        true => {
            report(format_args!("checked {}, {} would be refused; nothing was sent", lines(tally.done), tally.refused))
        }
        false => report(&tally),
    }
    if tally.refused == 0 { Ok(()) } else { Err(Failure::Nothing) }
}

/// Numbers of lines by result.
#[derive(Default)]
struct Tally {
    done: u64,
    /// Lines that change flows and found none. Not a failure, since a file may be loaded twice.
    idle: u64,
    refused: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loaded {}", lines(self.done))?;
        if self.idle > 0 {
            write!(f, ", {} without a matching flow", self.idle)?;
        }
        if self.refused > 0 {
            write!(f, ", {} refused", self.refused)?;
        }
        Ok(())
    }
}

fn lines(count: u64) -> String {
    format!("{count} line{}", if count == 1 { "" } else { "s" })
}

/// Runs jobs.
struct Loader {
    path: String,
    labels: Arc<LabelMap>,
    client: Client,
    tally: Tally,
    progress: Progress,
    /// Whether lines are parsed only (`--explain`).
    is_dry: bool,
}

impl Loader {
    fn new(path: String, labels: Arc<LabelMap>, is_dry: bool) -> Outcome<Self> {
        let client = Client::builder().receive_buffer(4 << 20).open()?;
        Ok(Self { path, labels, client, tally: Tally::default(), progress: Progress::new("lines loaded"), is_dry })
    }

    /// Runs jobs until the last line, an error or a signal.
    fn run_all(&mut self, jobs: &Receiver<Job>) -> Outcome {
        loop {
            interrupt::check()?;
            match jobs.recv_timeout(PATIENCE) {
                Ok(job) => self.run(job)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn run(&mut self, job: Job) -> Outcome {
        match job {
            Job::Refuse { line, reason } => self.refuse(line, reason),
            _ if self.is_dry => self.tally.done += job.lines(),
            Job::Create(creations) => self.create(&creations)?,
            // A saved update of a flow without any value to set.
            Job::Update { update, .. } if update.is_empty() => self.tally.done += 1,
            Job::Update { line, selection, update } => {
                self.note(line, table::update(&selection, &update, |_| Ok(())))?;
            }
            Job::Delete { line, selection } => self.note(line, table::delete(&selection, |_| Ok(())))?,
            Job::Flush(family) => {
                match family {
                    Some(family) => self.client.delete_family(family)?,
                    None => self.client.delete_all()?,
                }
                self.tally.done += 1;
            }
        }
        self.progress.show(self.tally.done);
        Ok(())
    }

    fn create(&mut self, creations: &[Creation]) -> Outcome {
        let (mut batch, mut pushed, mut unsent) =
            (self.client.batch(), Vec::with_capacity(creations.len()), Vec::new());
        for creation in creations {
            match batch.push(&creation.flow) {
                Ok(()) => pushed.push(creation),
                Err(error) if error.encode_error().is_some() => unsent.push((creation.line, error)),
                Err(error) => return Err(error.into()),
            }
        }
        let report = batch.finish()?;
        for (line, error) in unsent {
            self.refuse(line, format_args!("Operation failed: {error}"));
        }
        for (place, error) in report.failures() {
            let Some(creation) = pushed.get(*place) else { continue };
            match &creation.or_update {
                Some(text) if error.errno() == Errno::EEXIST => self.update(creation, text)?,
                _ => self.refuse(creation.line, format_args!("Operation failed: {error}")),
            }
        }
        self.tally.done += report.succeeded() as u64;
        Ok(())
    }

    /// Updates the existing flow of an `-A` line.
    fn update(&mut self, creation: &Creation, text: &str) -> Outcome {
        let key = FlowKey::original(creation.flow.original);
        let key = creation.flow.zone.map_or(key, |zone| key.in_zone(zone));
        match self.update_as_said(key, creation, text) {
            Ok(()) => self.tally.done += 1,
            Err(Failure::Failed(message)) => self.refuse(creation.line, message),
            Err(other) => return Err(other),
        }
        Ok(())
    }

    fn update_as_said(&mut self, key: FlowKey, creation: &Creation, text: &str) -> Outcome {
        if let Some(existing) = self.client.get(key)? {
            // A range of a translation is known to the library only.
            let arguments = arguments_of(text, &self.labels).ok().flatten().ok_or_else(|| {
                Failure::failed(
                    "Operation failed: such a flow exists, and its translation cannot be compared with a range",
                )
            })?;
            Answers::new(&arguments).check(&existing)?;
        }
        Ok(self.client.update(key, &request::update_to(&creation.flow))?)
    }

    /// Counts the result of a line that changes flows.
    fn note(&mut self, line: u64, changed: table::Changed) -> Outcome {
        match changed.into_result() {
            Ok(0) => self.tally.idle += 1,
            Ok(_) => self.tally.done += 1,
            Err(Failure::Failed(message)) => self.refuse(line, message),
            Err(other) => return Err(other),
        }
        Ok(())
    }

    fn refuse(&mut self, line: u64, reason: impl fmt::Display) {
        self.tally.refused += 1;
        if self.tally.refused <= REPORTED {
            report(format_args!("{}:{line}: {reason}", self.path));
        }
    }
}
