/// What a host's inventory wants of its layout, and which of its workers are alive.
package struct LayoutDemand: Equatable, Sendable {
    package struct Worker: Equatable, Sendable {
        package var service: ServiceName
        /// CPUs that nothing else may run on; nil or empty: none.
        package var exclusive: CPUList?
        /// Also runs on the shared pool.
        package var helpers: Bool
        /// Where its exclusive CPUs must lie.
        package var node: Int?
        /// By thread name, or `*` for every other.
        package var threads: [String: CPUPlacement.ThreadPlacement]
        package var hugepages: [HugepageCount]
        /// It leaves pages in use on purpose: they needn't be free while it is stopped.
        package var keepsHugepages: Bool
        /// nil: not running.
        package var pid: Int32?

        package init(
            service: ServiceName, exclusive: CPUList? = nil, helpers: Bool = false, node: Int? = nil,
            threads: [String: CPUPlacement.ThreadPlacement] = [:], hugepages: [HugepageCount] = [], keepsHugepages: Bool = false,
            pid: Int32? = nil
        ) {
            self.service = service
            self.exclusive = exclusive
            self.helpers = helpers
            self.node = node
            self.threads = threads
            self.hugepages = hugepages
            self.keepsHugepages = keepsHugepages
            self.pid = pid
        }

        /// Its exclusive CPUs, an empty list without any.
        package var own: CPUList { exclusive ?? .none }
    }

    /// A process that must stay on the housekeeping CPUs: the agent, a shim.
    package struct Resident: Equatable, Sendable {
        package var name: String
        package var pid: Int32

        package init(name: String, pid: Int32) {
            self.name = name
            self.pid = pid
        }
    }

    package var housekeeping: CPUList?
    package var shared: CPUList?
    /// Whole pools, per node and size.
    package var hugepages: [HugepageCount]
    package var expect: ExpectationSpec
    package var workers: [Worker]
    package var residents: [Resident]

    package init(
        housekeeping: CPUList? = nil, shared: CPUList? = nil, hugepages: [HugepageCount] = [],
        expect: ExpectationSpec = ExpectationSpec(), workers: [Worker] = [], residents: [Resident] = []
    ) {
        self.housekeeping = housekeeping
        self.shared = shared
        self.hugepages = hugepages
        self.expect = expect
        self.workers = workers
        self.residents = residents
    }

    /// Where a worker may run at all; nil: nothing is declared about it.
    package func allowed(_ worker: Worker) -> CPUList? {
        let cpus = worker.own.union(worker.helpers ? shared ?? .none : .none)
        return cpus.isEmpty ? housekeeping : cpus
    }

    /// Whose exclusive CPU this is; in the order of the workers.
    func owners(of cpu: Int) -> [Worker] { workers.filter { $0.own.contains(cpu) } }

    /// Every CPU that some worker claims for itself.
    var exclusive: CPUList { CPUList(workers.flatMap { $0.own.cpus }) }
}
