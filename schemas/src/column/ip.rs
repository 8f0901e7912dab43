//! A column of IP addresses.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray, FixedSizeBinaryBuilder};
use arrow::datatypes::DataType;

use super::{Column, NullableColumn};

/// An IP address as 16 bytes; IPv4 is v4-mapped (`::ffff:a.b.c.d`), as on the kernel's dual-stack sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ip(pub [u8; 16]);

impl Ip {
    /// The address; v4-mapped ones as IPv4.
    pub fn address(self) -> IpAddr {
        Ipv6Addr::from(self.0).to_canonical()
    }
}

impl From<IpAddr> for Ip {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => Self(v6.octets()),
        }
    }
}

impl std::fmt::Display for Ip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address().fmt(f)
    }
}

const IP_BYTES: i32 = 16;

impl Column for Ip {
    type Builder = FixedSizeBinaryBuilder;
    type Reader = FixedSizeBinaryArray;

    fn data_type() -> DataType {
        DataType::FixedSizeBinary(IP_BYTES)
    }
    fn builder(rows: usize) -> Self::Builder {
        FixedSizeBinaryBuilder::with_capacity(rows, IP_BYTES)
    }
    fn append(&self, builder: &mut Self::Builder) {
        // The builder refuses only values of another width; this one is 16 bytes by its type.
        let _ = builder.append_value(self.0);
    }
    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        Arc::new(builder.finish())
    }
    fn reader(array: &ArrayRef) -> Option<Self::Reader> {
        array.as_fixed_size_binary_opt().filter(|array| array.value_length() == IP_BYTES).cloned()
    }
    fn read(reader: &Self::Reader, row: usize) -> Self {
        Self(reader.value(row).try_into().unwrap_or_default())
    }
}

impl NullableColumn for Ip {
    fn append_null(builder: &mut Self::Builder) {
        builder.append_null();
    }
    fn is_null(reader: &Self::Reader, row: usize) -> bool {
        reader.is_null(row)
    }
}
