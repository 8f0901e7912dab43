//! systemd's manager over the system's D-Bus.

use std::path::Path;

use aftertrace_schemas::tables::{MetadataStatus, SystemdUnit};
use zbus::connection::{Builder, Connection};
use zbus::{OwnedObjectPath, OwnedVariant};

use super::worker::{Api, Failure, reason};
use super::{Answer, RuntimeRequest, row};

/// Its name on the bus.
const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// The bus itself.
const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";
/// Errors that mean that there is no such unit.
const UNKNOWN_UNIT: [&str; 2] =
    ["org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.DBus.Error.UnknownObject"];
/// The bus has nobody of that name.
const NO_OWNER: &str = "org.freedesktop.DBus.Error.ServiceUnknown";
/// Units that start one other are few.
const MOST_TRIGGERS: usize = 64;

/// systemd.
pub(super) struct Systemd;

/// A connection for one request.
struct Bus(Connection);

impl Bus {
    async fn connect(socket: &Path) -> Result<Self, Failure> {
        let address = format!("unix:path={}", socket.display());
        Builder::address(address.as_str()).build().await.map(Self).map_err(broken)
    }

    /// Asked of the bus: a call to systemd would make the bus try to start it.
    async fn has_systemd(&self) -> zbus::Result<bool> {
        let arguments = (SYSTEMD,);
        let call = self.0.call_method(Some(BUS), BUS_PATH, Some(BUS), "NameHasOwner", &arguments);
        call.await?.body().deserialize()
    }

    async fn unit_path(&self, name: &str) -> zbus::Result<OwnedObjectPath> {
        let arguments = (name,);
        let call = self.0.call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), "GetUnit", &arguments);
        call.await?.body().deserialize()
    }

    async fn property(&self, path: &str, interface: &str, name: &str) -> zbus::Result<OwnedVariant> {
        let arguments = (interface, name);
        let call = self.0.call_method(Some(SYSTEMD), path, Some(PROPERTIES), "Get", &arguments);
        call.await?.body().deserialize()
    }
}

fn broken(error: zbus::Error) -> Failure {
    Failure::broken(reason(&error))
}

impl Api for Systemd {
    async fn greet(&self, socket: &Path) -> Result<(), Failure> {
        let bus = Bus::connect(socket).await?;
        if bus.has_systemd().await.map_err(broken)? {
            bus.property(MANAGER_PATH, MANAGER, "Version").await.map(drop).map_err(broken)
        } else {
            Err(Failure::absent("systemd is not on this bus"))
        }
    }

    async fn ask(&self, socket: &Path, request: &RuntimeRequest) -> Result<Option<Answer>, Failure> {
        let bus = Bus::connect(socket).await?;
        match unit(&bus, request).await {
            Ok(row) => Ok(Some(Answer::Unit(Box::new(row)))),
            Err(zbus::Error::MethodError(name, ..)) if UNKNOWN_UNIT.contains(&name.as_str()) => Ok(None),
            Err(zbus::Error::MethodError(name, ..)) if name.as_str() == NO_OWNER => {
                Err(Failure::broken("systemd left the bus"))
            }
            Err(error @ zbus::Error::MethodError(..)) => Err(Failure::of_request(reason(&error))),
            Err(error) => Err(broken(error)),
        }
    }
}

async fn unit(bus: &Bus, request: &RuntimeRequest) -> zbus::Result<SystemdUnit> {
    let name = request.id.as_str();
    let path = bus.unit_path(name).await?;
    let triggers = bus.property(path.as_str(), UNIT, "TriggeredBy").await?;
    // Slices and scopes have no type.
    let unit_type = if name.ends_with(".service") {
        Some(String::try_from(bus.property(path.as_str(), SERVICE, "Type").await?)?)
    } else {
        None
    };
    let mut triggered_by = Vec::<String>::try_from(triggers)?;
    triggered_by.truncate(MOST_TRIGGERS);
    Ok(SystemdUnit {
        cgroup: request.cgroup.clone(),
        name: name.to_owned(),
        metadata: MetadataStatus::Found,
        unit_type: row::filled(unit_type),
        triggered_by,
    })
}
