//! What each provider's metadata service is asked, and where its answers have what a row tells.
//!
//! Only what a row tells is asked for where the service allows it: other parts of the metadata hold keys and secrets.

use aftertrace_schemas::tables::CloudInstance;
use serde::Deserialize;

use super::provider::Provider;
use super::service::{NoAnswer, Service, value};

/// Asks the service. What it does not know stays empty.
pub(super) fn ask(provider: Provider, service: &Service) -> Result<CloudInstance, NoAnswer> {
    let row = match provider {
        Provider::Aws => aws(service),
        Provider::Gcp => gcp(service),
        Provider::Azure => azure(service),
        Provider::Hetzner => hetzner(service),
        Provider::DigitalOcean => digital_ocean(service),
        Provider::Alibaba => alibaba(service),
        Provider::Scaleway => scaleway(service),
        Provider::Ibm => ibm(service),
        Provider::Oracle => oracle(service),
    }?;
    Ok(CloudInstance { provider: provider.name().to_owned(), ..row })
}

/// Nothing is known.
pub(super) fn nothing() -> CloudInstance {
    CloudInstance {
        provider: String::new(),
        account_id: String::new(),
        instance_id: String::new(),
        instance_type: String::new(),
        instance_life_cycle: String::new(),
        region: String::new(),
        availability_zone: String::new(),
        availability_zone_id: String::new(),
        local_ipv4: String::new(),
        public_ipv4: String::new(),
    }
}

/// The region of a zone such as `us-central1-a` or `fr-par-1`.
fn region_of(zone: &str) -> String {
    zone.rsplit_once('-').map_or("", |(region, _)| region).to_owned()
}

fn after_last_slash(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

fn aws(service: &Service) -> Result<CloudInstance, NoAnswer> {
    #[derive(Deserialize)]
    struct Account {
        #[serde(rename = "AccountId", default)]
        id: String,
    }
    let life_time = [("x-aws-ec2-metadata-token-ttl-seconds", "60")];
    let token = service.put("/latest/api/token", &life_time, "")?;
    let headers = [("x-aws-ec2-metadata-token", token.trim())];
    let get = |path: &str| service.value(&format!("/latest/meta-data/{path}"), &headers);
    let account: Option<Account> =
        service.json("/latest/meta-data/identity-credentials/ec2/info", &headers).ok();
    Ok(CloudInstance {
        account_id: value(&account.map(|account| account.id).unwrap_or_default()),
        instance_id: get("instance-id")?,
        instance_type: get("instance-type")?,
        instance_life_cycle: get("instance-life-cycle")?,
        region: get("placement/region")?,
        availability_zone: get("placement/availability-zone")?,
        availability_zone_id: get("placement/availability-zone-id")?,
        local_ipv4: get("local-ipv4")?,
        public_ipv4: get("public-ipv4")?,
        ..nothing()
    })
}

fn gcp(service: &Service) -> Result<CloudInstance, NoAnswer> {
    let headers = [("metadata-flavor", "Google")];
    let get = |path: &str| service.value(&format!("/computeMetadata/v1/{path}"), &headers);
    // projects/NUMBER/zones/ZONE
    let zone = after_last_slash(&get("instance/zone")?);
    Ok(CloudInstance {
        account_id: get("project/project-id")?,
        instance_id: get("instance/id")?,
        instance_type: after_last_slash(&get("instance/machine-type")?),
        instance_life_cycle: match get("instance/scheduling/preemptible")?.to_ascii_lowercase().as_str() {
            "true" => "preemptible".to_owned(),
            "false" => "on-demand".to_owned(),
            _ => String::new(),
        },
        region: region_of(&zone),
        availability_zone: zone,
        local_ipv4: get("instance/network-interfaces/0/ip")?,
        public_ipv4: get("instance/network-interfaces/0/access-configs/0/external-ip")?,
        ..nothing()
    })
}

fn azure(service: &Service) -> Result<CloudInstance, NoAnswer> {
    #[derive(Deserialize)]
    struct Instance {
        compute: Compute,
        #[serde(default)]
        network: Network,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    #[derive(Default)]
    struct Compute {
        location: String,
        priority: String,
        subscription_id: String,
        vm_id: String,
        vm_size: String,
        zone: String,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Network {
        interface: Vec<Interface>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Interface {
        ipv4: Ipv4,
    }
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Ipv4 {
        ip_address: Vec<Address>,
    }
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Address {
        private_ip_address: String,
        public_ip_address: String,
    }
    let path = "/metadata/instance?format=json&api-version=2021-05-01";
    let Instance { compute, network } = service.json(path, &[("metadata", "true")])?;
    let mut addresses = network.interface.into_iter().flat_map(|interface| interface.ipv4.ip_address);
    let address = addresses.next().unwrap_or_default();
    Ok(CloudInstance {
        account_id: value(&compute.subscription_id),
        instance_id: value(&compute.vm_id),
        instance_type: value(&compute.vm_size),
        instance_life_cycle: match compute.priority.as_str() {
            "Spot" | "Low" => "spot".to_owned(),
            "Regular" => "on-demand".to_owned(),
            _ => String::new(),
        },
        region: value(&compute.location),
        availability_zone: value(&compute.zone),
        local_ipv4: value(&address.private_ip_address),
        public_ipv4: value(&address.public_ip_address),
        ..nothing()
    })
}

fn hetzner(service: &Service) -> Result<CloudInstance, NoAnswer> {
    let get = |path: &str| service.value(&format!("/hetzner/v1/metadata/{path}"), &[]);
    Ok(CloudInstance {
        instance_id: get("instance-id")?,
        region: get("region")?,
        availability_zone: get("availability-zone")?,
        local_ipv4: get("local-ipv4")?,
        public_ipv4: get("public-ipv4")?,
        ..nothing()
    })
}

fn digital_ocean(service: &Service) -> Result<CloudInstance, NoAnswer> {
    let get = |path: &str| service.value(&format!("/metadata/v1/{path}"), &[]);
    let region = get("region")?;
    Ok(CloudInstance {
        instance_id: get("id")?,
        // A region has one zone, and no name for it.
        availability_zone: region.clone(),
        region,
        local_ipv4: get("interfaces/private/0/ipv4/address")?,
        public_ipv4: get("interfaces/public/0/ipv4/address")?,
        ..nothing()
    })
}

fn alibaba(service: &Service) -> Result<CloudInstance, NoAnswer> {
    let life_time = [("x-aliyun-ecs-metadata-token-ttl-seconds", "60")];
    // A machine may demand a token, and an old service may not know them.
    let token = match service.put("/latest/api/token", &life_time, "") {
        Ok(token) => token,
        Err(NoAnswer::Status { .. }) => String::new(),
        Err(other) => return Err(other),
    };
    let headers = [("x-aliyun-ecs-metadata-token", token.trim())];
    let headers = if token.is_empty() { &headers[..0] } else { &headers[..] };
    let get = |path: &str| service.value(&format!("/latest/meta-data/{path}"), headers);
    Ok(CloudInstance {
        account_id: get("owner-account-id")?,
        instance_id: get("instance-id")?,
        instance_type: get("instance/instance-type")?,
        region: get("region-id")?,
        availability_zone: get("zone-id")?,
        local_ipv4: get("private-ipv4")?,
        public_ipv4: get("eipv4")?,
        ..nothing()
    })
}

fn scaleway(service: &Service) -> Result<CloudInstance, NoAnswer> {
    let text = service.get("/conf", &[])?;
    // Lines KEY=VALUE, some of them with quotes.
    let get = |key: &str| {
        let mut values = text.lines().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        value(values.next().unwrap_or_default().trim_matches(['"', '\'']))
    };
    let zone = get("ZONE");
    Ok(CloudInstance {
        account_id: get("ORGANIZATION"),
        instance_id: get("ID"),
        instance_type: get("COMMERCIAL_TYPE"),
        region: region_of(&zone),
        availability_zone: zone,
        local_ipv4: get("PRIVATE_IP"),
        public_ipv4: get("PUBLIC_IP_ADDRESS"),
        ..nothing()
    })
}

fn ibm(service: &Service) -> Result<CloudInstance, NoAnswer> {
    #[derive(Deserialize)]
    struct Token {
        access_token: String,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Named {
        name: String,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Instance {
        id: String,
        crn: String,
        profile: Named,
        zone: Named,
        primary_network_interface: Interface,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Interface {
        primary_ip: Address,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Address {
        address: String,
    }
    let path = "/instance_identity/v1/token?version=2022-03-01";
    let token = service.put(path, &[("metadata-flavor", "ibm")], r#"{"expires_in":300}"#)?;
    let token: Token =
        serde_json::from_str(&token).map_err(|_| NoAnswer::Garbage { path: path.to_owned() })?;
    let bearer = format!("Bearer {}", token.access_token);
    let path = "/metadata/v1/instance?version=2022-03-01";
    let instance: Instance = service.json(path, &[("authorization", &bearer)])?;
    // crn:v1:bluemix:public:is:us-south-1:a/ACCOUNT::instance:ID
    let account = instance.crn.split(':').find_map(|part| part.strip_prefix("a/")).unwrap_or_default();
    Ok(CloudInstance {
        account_id: value(account),
        instance_id: value(&instance.id),
        instance_type: value(&instance.profile.name),
        region: region_of(&value(&instance.zone.name)),
        availability_zone: value(&instance.zone.name),
        local_ipv4: value(&instance.primary_network_interface.primary_ip.address),
        ..nothing()
    })
}

fn oracle(service: &Service) -> Result<CloudInstance, NoAnswer> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Instance {
        availability_domain: String,
        canonical_region_name: String,
        id: String,
        shape: String,
        tenant_id: String,
    }
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Card {
        private_ip: String,
    }
    let headers = [("authorization", "Bearer Oracle")];
    let instance: Instance = service.json("/opc/v2/instance/", &headers)?;
    let cards: Vec<Card> = service.json("/opc/v2/vnics/", &headers).unwrap_or_default();
    let region = value(&instance.canonical_region_name);
    // Uocm:PHX-AD-1
    let domain = instance.availability_domain.rsplit_once("-AD-").map(|(_, number)| value(number));
    Ok(CloudInstance {
        account_id: value(&instance.tenant_id),
        instance_id: value(&instance.id),
        instance_type: value(&instance.shape),
        availability_zone: domain.map(|number| format!("{region}-ad-{number}")).unwrap_or_default(),
        region,
        local_ipv4: value(&cards.into_iter().next().unwrap_or_default().private_ip),
        ..nothing()
    })
}
