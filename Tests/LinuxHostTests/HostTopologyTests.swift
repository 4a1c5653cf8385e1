import FleetCore
import LinuxHost
import TestSupport
import Testing

@testable import LinuxHost

/// Three machines and a broken one, as their files say.
struct HostTopologyTests {
    @Test("one socket with SMT, as installed")
    func oneSocket() throws {
        let machine = try MachineTree("one_socket")
        let topology = HostTopology.read(root: machine.root)
        #expect(topology.notes == [])
        let table = topology.table(LayoutDemand(housekeeping: CPUList("0-1"), shared: CPUList("2")))
        #expect(table.sockets == 1 && table.cores == 8 && table.cpus == 16 && table.smt == true)
        #expect(table.isolated == CPUList.none && table.nohzFull == CPUList.none && topology.rcuNoCallbacks == CPUList.none)
        #expect(table.housekeeping == CPUList("0-1") && table.shared == CPUList("2"))
        #expect(topology.cpu(11)?.siblings == CPUList("3,11") && topology.smtControl == "on")
        #expect(table.nodes.map(\.node) == [0] && table.nodes[0].memoryBytes == 65_536_000 * 1024 && table.nodes[0].socket == 0)
        #expect(table.nodes[0].pools == [.init(pageBytes: 2 << 20, total: 512, free: 512), .init(pageBytes: 1 << 30, total: 0, free: 0)])
        #expect(topology.interfaces == [.init(name: "eno1", driver: "igb")])
        #expect(topology.interruptLines.count == 9)
        #expect(topology.interruptLines[1] == .init(number: 37, name: "eno1-TxRx-0", interface: "eno1", cpus: CPUList("0,8"), effective: CPUList("0")))
    }

    @Test("two sockets of two nodes each, pages of both sizes, a card whose lines don't carry its name")
    func twoSockets() throws {
        let machine = try MachineTree("two_sockets")
        let topology = HostTopology.read(root: machine.root)
        #expect(topology.notes == [])
        let table = topology.table(LayoutDemand())
        #expect(table.sockets == 2 && table.cores == 32 && table.cpus == 64 && table.smt == true)
        #expect(table.nodes.map(\.socket) == [0, 0, 1, 1])
        #expect(topology.node(of: 40) == 1 && topology.node(of: 63) == 3 && topology.node(of: 64) == nil)
        #expect(topology.pool(node: 0, pageBytes: 1 << 30) == .init(pageBytes: 1 << 30, total: 8, free: 4))
        #expect(topology.pool(node: 0, pageBytes: 1 << 30)?.used == 4)
        #expect(topology.isolated == CPUList("1-7,33-39") && topology.rcuNoCallbacks == CPUList("1-7,33-39"))
        // The vector without a handler is no line.
        #expect(topology.interruptLines.map(\.number) == Array(300...316))
        #expect(topology.interruptLines.allSatisfy { $0.interface == "ens2f0np0" && $0.node == 2 })
        #expect(topology.interruptLines[1].subject == "IRQ 301 (mlx5_comp0@pci:0000:81:00.0)")
    }

    @Test("64 isolated cores, SMT off, two cards; an `N` on the command line is the last CPU")
    func isolated() throws {
        let machine = try MachineTree("isolated")
        let topology = HostTopology.read(root: machine.root)
        #expect(topology.notes == [])
        let table = topology.table(LayoutDemand())
        #expect(table.cores == 64 && table.cpus == 64 && table.smt == false && topology.present?.cpus.count == 128)
        #expect(topology.nohzFull == CPUList("4-31,36-63") && topology.rcuNoCallbacks == CPUList("4-127"))
        #expect(topology.interfaces == [.init(name: "ens1f0", driver: "sfc", node: 0), .init(name: "ens3f0np0", driver: "mlx5_core", node: 1)])
        #expect(topology.interruptLines.count == 8 + 33)
        #expect(topology.interruptLines.first { $0.number == 143 }?.cpus == CPUList("0-1,4"))
    }

    @Test("what is missing or garbled is unknown and named, never zero")
    func broken() throws {
        let machine = try MachineTree("broken")
        let topology = HostTopology.read(root: machine.root)
        #expect(topology.online == CPUList("0-3") && topology.isolated == nil && topology.nohzFull == nil && topology.smtControl == nil)
        #expect(topology.cpu(0)?.siblings == CPUList("0-1") && topology.cpu(1)?.siblings == nil && topology.cpu(2)?.siblings == nil)
        #expect(topology.cpu(2)?.socket == nil && topology.cpu(2)?.core == nil && topology.cpu(3)?.socket == nil)
        #expect(topology.nodes.map(\.number) == [0, 2])
        #expect(topology.node(0)?.memoryBytes == nil && topology.node(2)?.memoryBytes == 0)
        #expect(topology.node(0)?.pools == [.init(pageBytes: 1 << 30, total: 1, free: nil)])
        #expect(topology.node(0)?.unreadPools == [2 << 20] && topology.node(2)?.unreadPools == [])
        #expect(topology.rcuNoCallbacks == nil && topology.interfaces == [.init(name: "eth0")])
        // Named in /proc/interrupts alone; eth01 is another's, and one has no affinity file.
        #expect(topology.interruptLines.map(\.number) == [24, 26])
        #expect(topology.interruptLines[0].cpus == CPUList("0-3") && topology.interruptLines[1].cpus == nil)
        #expect(topology.interruptLines[1].name == "eth0-rx-0, eth0-tx-0")
        for what in [
            "SMT siblings", "sockets", "cores", "CPUs of nodes", "memory of nodes", "hugepage pools", "free hugepages", "isolated CPUs", "nohz_full CPUs",
            "kernel command line", "drivers", "interrupt affinity", "SMT",
        ] {
            #expect(topology.notes.contains { $0.hasPrefix("\(what): cannot ") }, "nothing is said of \(what): \(topology.notes)")
        }
        let table = topology.table(LayoutDemand())
        #expect(table.sockets == nil && table.cores == nil && table.cpus == 4)
    }

    @Test("of a machine without a single file everything is unknown")
    func nothing() {
        let topology = HostTopology.read(root: "/nonexistent")
        let table = topology.table(LayoutDemand())
        #expect(table.cpus == nil && table.smt == nil && table.online == nil && table.nodes == [] && table.interruptLines == [])
        #expect(topology.notes.count >= 6)
    }

    @Test("a second reading sees pools, interrupts and CPUs as they are by then, and keeps what lasts")
    func refreshed() throws {
        let machine = try MachineTree("two_sockets")
        let first = HostTopology.read(root: machine.root)
        try machine.put("/sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", "96")
        try machine.put("/proc/irq/303/smp_affinity_list", "5")
        try machine.remove("/sys/devices/system/cpu/present")
        let second = first.refreshed(root: machine.root)
        #expect(second.pool(node: 0, pageBytes: 2 << 20)?.free == 96 && second.present == first.present && second.notes == [])
        #expect(second.interruptLines.first { $0.number == 303 }?.cpus == CPUList("5"))
        try machine.put("/sys/devices/system/cpu/online", "0-62")
        let third = second.refreshed(root: machine.root)
        #expect(third.online == CPUList("0-62") && third.cpus.count == 63 && third.present == nil && third.notes.count == 1)
    }

    @Test("this machine is read without a gap that it has no reason for")
    func here() throws {
        let topology = HostTopology.read()
        let table = topology.table(LayoutDemand())
        #expect(table.cpus ?? 0 > 0 && table.cores ?? 0 > 0 && table.online != nil && table.isolated != nil, "\(topology.notes)")
        #expect(topology.cpus.allSatisfy { $0.siblings?.contains($0.number) == true })
        #expect(topology.refreshed().cpus == topology.cpus)
    }

    @Test("the kernel's command line: quotes, the last of two, lists with all and N")
    func commandLine() {
        #expect(KernelCommandLine.words("a=1  b=\"x y\"\tc\n") == ["a=1", "b=\"x y\"", "c"])
        #expect(KernelCommandLine.value(of: "a", in: ["a=1", "ab=2", "a=3"]) == "3" && KernelCommandLine.value(of: "b", in: ["b"]) == nil)
        #expect(KernelCommandLine.cpus("all", last: 3) == CPUList("0-3") && KernelCommandLine.cpus("1,2-N", last: 7) == CPUList("1-7"))
        #expect(KernelCommandLine.cpus("0-31:1/2", last: 31) == nil)
    }

    @Test("an interface's lines in /proc/interrupts, of several kinds of controller")
    func interrupts() {
        let text = """
                       CPU0       CPU1
              0:         10          0   IO-APIC   2-edge      timer
             38:          0       3512 PCI-MSIX-0000:00:03.0   1-edge      virtio2-input.0
             50:          1          0  IR-PCI-MSI 524289-edge      eno1-TxRx-0
             60:          1          0     GICv3 112 Level     mmc0, mmc1
            LOC:    2598494    2562628   Local timer interrupts
            """
        #expect(InterruptLines.parse(text) == [0: "timer", 38: "virtio2-input.0", 50: "eno1-TxRx-0", 60: "mmc0, mmc1"])
        #expect(InterruptLines.parse("") == nil && InterruptLines.parse("nothing here\n") == nil)
    }
}
