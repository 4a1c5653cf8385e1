internal import FleetCore
internal import Glibc

/// The interrupt lines of network interfaces: which there are, and where they may be delivered (irq-affinity.rst).
enum InterruptLines {
    /// By number; a line that two interfaces share belongs to the one it is named after.
    static func read(interfaces: [HostTopology.Interface], _ tree: inout HostTree) -> [HostTopology.InterruptLine] {
        var owners: [Int: String] = [:]
        var names: [Int: String] = [:]
        var unlisted: [HostTopology.Interface] = []
        // Read once, where it is needed at all.
        var table: [Int: String]??
        for interface in interfaces {
            guard let numbers = messageSignalled(interface.name, &tree) else {
                unlisted.append(interface)
                continue
            }
            for number in numbers {
                let name = names[number] ?? action(number, &table, &tree)
                // A vector that nobody has asked for yet: it can't fire, and the kernel doesn't list it either.
                guard let name, !name.isEmpty else { continue }
                names[number] = name
                if owners[number] == nil || belongs(name, to: interface.name) { owners[number] = interface.name }
            }
        }
        if !unlisted.isEmpty, let all = listed(&table, &tree) {
            for (number, name) in all where owners[number] == nil {
                guard let interface = unlisted.first(where: { belongs(name, to: $0.name) }) else { continue }
                owners[number] = interface.name
                names[number] = name
            }
        }
        return owners.keys.sorted().map { number in line(number, names[number] ?? "", owners[number] ?? "", &tree) }
    }

    private static func line(_ number: Int, _ name: String, _ interface: String, _ tree: inout HostTree) -> HostTopology.InterruptLine {
        let directory = "/proc/irq/\(number)"
        var line = HostTopology.InterruptLine(number: number, name: name, interface: interface)
        line.cpus = tree.attempt("interrupt affinity") { tree throws(LinuxError) in try tree.cpus("\(directory)/smp_affinity_list") }
        // Not on every architecture, and empty before the first delivery.
        if tree.exists("\(directory)/effective_affinity_list") {
            let cpus = tree.attempt("effective interrupt affinity") { tree throws(LinuxError) in try tree.cpus("\(directory)/effective_affinity_list") }
            line.effective = cpus.flatMap { $0.isEmpty ? nil : $0 }
        }
        if tree.exists("\(directory)/node") {
            let node = tree.attempt("nodes of interrupts") { tree throws(LinuxError) in try tree.number("\(directory)/node") as Int }
            line.node = node.flatMap { $0 >= 0 ? $0 : nil }
        }
        return line
    }

    /// Of its device, or of the one behind it (virtio's is the child of a PCI function); nil: no such list.
    private static func messageSignalled(_ interface: String, _ tree: inout HostTree) -> [Int]? {
        for path in ["/sys/class/net/\(interface)/device/msi_irqs", "/sys/class/net/\(interface)/device/../msi_irqs"] where tree.exists(path) {
            return tree.attempt("interrupts of interfaces") { tree throws(LinuxError) in try tree.numbered(path, prefix: "") }
        }
        return nil
    }

    /// Who handles it; nil: can't be told.
    ///
    /// From sysfs: /proc/interrupts adds up the counters of every CPU for every line, which on a large machine is work.
    private static func action(_ number: Int, _ table: inout [Int: String]??, _ tree: inout HostTree) -> String? {
        let path = "/sys/kernel/irq/\(number)/actions"
        if tree.exists(path) {
            return tree.attempt("names of interrupts") { tree throws(LinuxError) in try tree.text(path) }
        }
        return listed(&table, &tree)?[number]
    }

    /// /proc/interrupts (proc_interrupts(5)): number -> name, of the numbered lines.
    private static func listed(_ table: inout [Int: String]??, _ tree: inout HostTree) -> [Int: String]? {
        if let table { return table }
        let read = tree.attempt("names of interrupts") { tree throws(LinuxError) in
            guard let names = parse(try tree.text("/proc/interrupts", limit: 16 << 20)) else { throw tree.misunderstood("/proc/interrupts") }
            return names
        }
        table = .some(read)
        return read
    }

    /// The header counts the columns; after so many counters come the chip, the line within it and the handlers' names.
    static func parse(_ text: String) -> [Int: String]? {
        let lines = text.split(separator: "\n")
        guard let header = lines.first else { return nil }
        let columns = header.split(separator: " ").filter { $0.hasPrefix("CPU") }.count
        guard columns > 0 else { return nil }
        var names: [Int: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":"), let number = Int(line[..<colon].drop { $0 == " " }) else { continue }
            var rest = line[line.index(after: colon)...].split(separator: " ").dropFirst(columns)
            // `PCI-MSIX-0000:00:03.0   1-edge      virtio2-input.0`, `IO-APIC   4-edge  ttyS0, other`
            guard rest.count >= 3 else { continue }
            if let trigger = rest.firstIndex(where: {
                $0.hasSuffix("-edge") || $0.hasSuffix("-fasteoi") || $0.hasSuffix("-level") || $0 == "Edge" || $0 == "Level"
            }) {
                rest = rest[(trigger + 1)...]
            } else {
                rest = rest.dropFirst(2)
            }
            if !rest.isEmpty { names[number] = rest.joined(separator: " ") }
        }
        return names
    }

    /// `ens1f0`, `ens1f0-rx-2`, `mlx5_comp3@pci…` no: the name begins with the interface's, and no digit goes on with it.
    private static func belongs(_ name: String, to interface: String) -> Bool {
        guard name.hasPrefix(interface) else { return false }
        guard let next = name.utf8.dropFirst(interface.utf8.count).first else { return true }
        return !(48...57).contains(next) && !(97...122).contains(next)
    }
}
