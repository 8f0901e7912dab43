//! `cloud_instances`: what the host is to the cloud that it is rented from.

table! {
    /// What the host is to its cloud: said by the provider's metadata service, or by flags. A later row replaces an
    /// earlier one. What is not known is empty.
    pub struct CloudInstance in "cloud_instances" as CloudInstance {
        /// AWS, GCP, Azure, Hetzner, DigitalOcean, Alibaba, Scaleway, IBM, Oracle, or what a flag said.
        [Dictionary] provider: String,
        /// Account, project, subscription or tenant.
        [Dictionary] account_id: String,
        /// Id of the virtual machine.
        [Dictionary] instance_id: String,
        /// Machine type.
        [Dictionary] instance_type: String,
        /// How it was bought: on-demand, spot, preemptible.
        [Dictionary] instance_life_cycle: String,
        /// Region.
        [Dictionary] region: String,
        /// Availability zone.
        [Dictionary] availability_zone: String,
        /// Id of the zone that is the same in all accounts (AWS).
        [Dictionary] availability_zone_id: String,
        /// Private address.
        [Dictionary] local_ipv4: String,
        /// Public address.
        [Dictionary] public_ipv4: String,
    }
}
