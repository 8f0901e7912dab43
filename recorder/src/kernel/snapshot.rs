//! Asks the programs for what is there: the scan of all open files, the sweep of the followed connections.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufReader, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use aftertrace_bpf_programs::maps::{CONNECTION_WORDS, SWEEP_BATCH, SWEEP_RECORD_BYTES};
use aftertrace_bpf_programs::wire::{Record, RecordHeader};
use aya::programs::{Iter, RawTracePoint};

use super::attach::program;
use super::probes::{SCAN, SWEEP};
use super::{Kernel, KernelError, map_fd, syscall};

/// Entries read from the map of connections at a time.
const READ_BATCH: usize = 2048;

impl Kernel {
    /// Looks at every open file of every recorded process. Hands over listening sockets, connections and regular
    /// files open for writing that are there. A socket is told of once, by whichever event or scan comes first, so
    /// this is to be called once the tracepoints are attached; calling it again after losses finds what was lost, but
    /// repeats the files. Returns the number of records.
    ///
    /// # Errors
    /// When the program was rejected or the kernel does not run it.
    pub fn scan(&mut self, mut sink: impl FnMut(Record<'_>)) -> Result<u64, KernelError> {
        let failed = |reason: String| KernelError::Program { name: SCAN.0, reason };
        let iterator = program::<Iter>(&mut self.ebpf, SCAN.1).map_err(failed)?;
        let id = iterator.attach().map_err(|error| failed(super::error::chain(&error)))?;
        let link = iterator.take_link(id).map_err(|error| failed(super::error::chain(&error)))?;
        let file = link.into_file().map_err(|error| failed(super::error::chain(&error)))?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut bytes = Vec::new();
        let mut count = 0;
        while read_record(&mut reader, &mut bytes)
            .map_err(|source| KernelError::System { call: "scan", source })?
        {
            let record = Record::parse(&bytes).map_err(|error| failed(error.to_string()))?;
            count += 1;
            match record {
                Record::FileExisting(file, _) => {
                    let path =
                        fs::read_link(format!("/proc/{}/fd/{}", file.pid, file.fd)).unwrap_or_default();
                    sink(Record::FileExisting(file, path.as_os_str().as_bytes()));
                }
                record => sink(record),
            }
        }
        Ok(count)
    }

    /// Reads the counters of every open connection that is followed, and finds sockets that closed unseen: those
    /// records are marked as inferred. Returns the ids of all sockets that are followed, listening ones included.
    ///
    /// # Errors
    /// When the program was rejected or the kernel does not run it.
    pub fn sweep(&mut self, mut sink: impl FnMut(Record<'_>)) -> Result<BTreeSet<u64>, KernelError> {
        let mut alive = BTreeSet::new();
        let mut socks = Vec::new();
        self.for_each_connection(|sock, id| {
            alive.insert(id);
            socks.push(sock);
        })?;
        for batch in socks.chunks(SWEEP_BATCH) {
            let answers = self.run_sweep(batch)?;
            for answer in answers.chunks_exact(SWEEP_RECORD_BYTES).take(batch.len()) {
                let Ok(record) = Record::parse(answer) else { continue };
                match record {
                    Record::Close(end) => alive.remove(&end.connection_id),
                    Record::ListenClose(end) => alive.remove(&end.connection_id),
                    _ => false,
                };
                sink(record);
            }
        }
        Ok(alive)
    }

    fn for_each_connection(&self, mut visit: impl FnMut(u64, u64)) -> Result<(), KernelError> {
        let mut keys = vec![0; READ_BATCH];
        let mut values = vec![[0; CONNECTION_WORDS]; READ_BATCH];
        let mut cursor = None;
        loop {
            let batch = syscall::read_map(map_fd(&self.connections), cursor, &mut keys, &mut values)
                .map_err(|source| KernelError::System { call: "reading the map of connections", source })?;
            for (sock, [id, ..]) in keys.iter().zip(&values).take(batch.count) {
                visit(*sock, *id);
            }
            match batch.next {
                Some(next) => cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn run_sweep(&mut self, socks: &[u64]) -> Result<Vec<u8>, KernelError> {
        let mut input = [0; SWEEP_BATCH + 1];
        for (place, sock) in input.iter_mut().zip(socks) {
            *place = *sock;
        }
        if let Some(count) = input.last_mut() {
            *count = socks.len() as u64;
        }
        self.sweep_in
            .set(0, input, 0)
            .map_err(|error| KernelError::Map { name: "sweep_in", reason: super::error::chain(&error) })?;
        let failed = |reason: String| KernelError::Program { name: SWEEP.0, reason };
        let program = program::<RawTracePoint>(&mut self.ebpf, SWEEP.1).map_err(failed)?;
        let fd = program.fd().map_err(|error| failed(error.to_string()))?;
        syscall::run_program(fd.as_fd()).map_err(|source| KernelError::System { call: "sweep", source })?;
        let mut output = vec![0; SWEEP_BATCH * SWEEP_RECORD_BYTES];
        syscall::read_element(map_fd(&self.sweep_out), 0, &mut output)
            .map_err(|source| KernelError::System { call: "reading the sweep's answers", source })?;
        Ok(output)
    }
}

/// The next record of a scan into `bytes`; false at the end.
fn read_record(reader: &mut impl Read, bytes: &mut Vec<u8>) -> std::io::Result<bool> {
    const HEADER: usize = size_of::<RecordHeader>();
    let mut header = [0; HEADER];
    match reader.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(error),
    }
    bytes.clear();
    bytes.extend_from_slice(&header);
    let length = RecordHeader::read(&header).map_or(HEADER, |header| usize::from(header.length).max(HEADER));
    bytes.resize(length, 0);
    reader.read_exact(bytes.get_mut(HEADER..).unwrap_or_default())?;
    Ok(true)
}
