//! The commands of a file.

mod lines;
mod words;

use std::{
    fmt,
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::Duration,
};

use ctnetlink::{Client, Errno, FlowKey, format::LabelMap};

use crate::{
    arguments::{Arguments, Parameter},
    failure::{Failure, Outcome},
    interrupt,
    progress::Progress,
    request, table, tell,
};
use lines::{Creation, Job, Lines};

/// How many jobs may wait for the kernel.
const WAITING: usize = 8;
/// Time after which a signal is noticed while no line comes.
const PATIENCE: Duration = Duration::from_millis(100);
/// How many refusals are told one by one.
const TOLD: u64 = 20;

/// Runs the commands of a file in their order: lines are read on one thread while the kernel works on another.
///
/// A line that makes no sense ends it; what the lines before it say was done. A line that the kernel refuses is told
/// by its number, and the others go on.
pub fn load(arguments: &Arguments) -> Outcome {
    let path = arguments.file.as_deref().unwrap_or("-").to_owned();
    let labels = match &arguments.label_map {
        Some(labels) => labels.clone(),
        // A file of labels is only missed by a line that names one.
        None if Path::new(LabelMap::DEFAULT_PATH).exists() => LabelMap::open(LabelMap::DEFAULT_PATH)?,
        None => LabelMap::default(),
    };
    let mut loader = Loader::new(path.clone(), arguments.has(Parameter::Explain))?;
    interrupt::listen()?;
    let (sender, jobs) = sync_channel(WAITING);
    let reader = thread::spawn(|| Lines::new(path, labels, sender).read());
    let done = loader.run_all(&jobs);
    drop(loader.progress);
    if let Err(failure) = done {
        // The reader is not joined: it may be waiting for a line.
        tell(&loader.tally);
        return Err(failure);
    }
    reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let tally = loader.tally;
    match loader.is_dry {
        true if tally.refused == 0 => {
            tell(format_args!("{} lines make sense, and nothing was asked of the kernel.", tally.done));
        }
        true => tell(format_args!(
            "{} lines make sense, {} would be refused, and nothing was asked of the kernel.",
            tally.done, tally.refused
        )),
        false => tell(&tally),
    }
    if tally.refused == 0 { Ok(()) } else { Err(Failure::Nothing) }
}

/// What became of lines.
#[derive(Default)]
struct Tally {
    done: u64,
    /// Those that change flows and found none, which is no failure: a file may be loaded again.
    idle: u64,
    refused: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines have been loaded, ", self.done)?;
        if self.idle > 0 {
            write!(f, "{} have found no flow, ", self.idle)?;
        }
        write!(f, "{} have been refused.", self.refused)
    }
}

/// Does what lines ask for.
struct Loader {
    path: String,
    client: Client,
    tally: Tally,
    progress: Progress,
    /// Lines are read, and nothing is sent.
    is_dry: bool,
}

impl Loader {
    fn new(path: String, is_dry: bool) -> Outcome<Self> {
        let client = Client::builder().receive_buffer(4 << 20).open()?;
        Ok(Self { path, client, tally: Tally::default(), progress: Progress::new("lines loaded"), is_dry })
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
            // A save of a flow that has nothing to be set.
            Job::Update { update, .. } if update.is_empty() => self.tally.done += 1,
            Job::Update { line, selection, update } => {
                self.note(line, table::update(&selection, &update, |_| Ok(())))?;
            }
            Job::Delete { line, selection } => self.note(line, table::delete(&selection, |_| Ok(())))?,
            Job::Flush(family) => {
                match family {
                    Some(family) => self.client.flush_family(family)?,
                    None => self.client.flush()?,
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
            match creation.or_update && error.errno() == Errno::EEXIST {
                true => self.update(creation)?,
                false => self.refuse(creation.line, format_args!("Operation failed: {error}")),
            }
        }
        self.tally.done += report.succeeded() as u64;
        Ok(())
    }

    /// Makes the flow that exists what the line asks for.
    fn update(&mut self, creation: &Creation) -> Outcome {
        let key = FlowKey::original(creation.flow.original);
        let key = creation.flow.zone.map_or(key, |zone| key.in_zone(zone));
        match self.update_as_said(key, creation) {
            Ok(()) => self.tally.done += 1,
            Err(Failure::Failed(message)) => self.refuse(creation.line, message),
            Err(other) => return Err(other),
        }
        Ok(())
    }

    fn update_as_said(&mut self, key: FlowKey, creation: &Creation) -> Outcome {
        if let Some(existing) = self.client.get(key)? {
            creation.answers.check(&existing)?;
        }
        Ok(self.client.update(key, &request::update_to(&creation.flow))?)
    }

    /// Notes what became of a line that changes flows.
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
        if self.tally.refused <= TOLD {
            tell(format_args!("{}:{line}: {reason}", self.path));
        }
    }
}
