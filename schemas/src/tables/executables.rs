//! `executables`: what program files were built with.

use crate::label::labels;

labels! {
    /// What built a program, where the program file says so.
    pub enum Toolchain {
        /// Go: the file has build information.
        Golang = "golang",
        /// Rust: the compiler left its name in the section `.comment`.
        Rust = "rust",
        /// .NET: its libraries are searched in `$ORIGIN/netcoredeps`.
        Dotnet = "dotnet",
        /// None of these: the process ran a program of one of them before.
        Unknown = "unknown",
    }
}

table! {
    /// What the program of a process was built with. Processes whose program does not tell have no row, unless they
    /// had one for an earlier program. A later row of the same process replaces an earlier one.
    pub struct Executable in "executables" as Executable {
        /// Process id.
        [Dictionary] pid: u32,
        /// Start of the process; with `pid` it names the process.
        [Delta] process_start_ns: u64,
        /// What built it.
        [Dictionary] toolchain: Toolchain,
        /// Version of the toolchain, as the file has it.
        [Dictionary] version: Option<String>,
        /// Device of the file: major number.
        [Dictionary] device_major: u32,
        /// Device of the file: minor number.
        [Dictionary] device_minor: u32,
        /// Inode of the file.
        [Dictionary] inode: u64,
    }
}
