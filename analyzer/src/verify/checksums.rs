//! Whether the files of sealed segments are, byte for byte, what the recorder wrote: by the checksums of the manifest.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use aftertrace_schemas::{TableId, layout};

use crate::{Damage, Segment, Trace};

const BUFFER_BYTES: usize = 1 << 20;

/// Files of a segment that were changed. Those that are known to be damaged already are not read again.
pub(super) fn changed(trace: &Trace, segment: &Segment, known: &[Damage]) -> Vec<Damage> {
    let listed = trace.manifest.iter().flat_map(|manifest| &manifest.segments);
    let Some(listed) = listed.filter(|_| segment.sealed).find(|listed| listed.number == segment.number)
    else {
        return Vec::new();
    };
    let mut damage = Vec::new();
    for (table, file) in &listed.tables {
        let (Some(table), Some(expected)) = (TableId::from_name(table), file.crc32c) else { continue };
        let path = layout::segment_dir(&trace.root, segment.number).join(layout::parquet_name(table));
        let name = Trace::relative_name(&trace.root, &path);
        if known.iter().any(|damage| damage.file == name) {
            continue;
        }
        match crc32c_of(&path) {
            Ok(found) if found == expected => {}
            Ok(_) => {
                let reason = "bytes of it were changed: its checksum is not that of the manifest".to_owned();
                damage.push(Damage { file: name, reason });
            }
            // One that is missing or cannot be read was found so when the trace was opened.
            Err(_) => {}
        }
    }
    damage
}

fn crc32c_of(path: &Path) -> io::Result<u32> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut crc32c = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(crc32c),
            Ok(read) => crc32c = crc32c::crc32c_append(crc32c, buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
