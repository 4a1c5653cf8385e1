// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target of the house is built with these: language mode 6 (from the tools version), the upcoming
/// features on, warnings as errors.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
    .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
]
let http: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let tls: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let protobuf: Target.Dependency = .product(name: "SwiftProtobuf", package: "swift-protobuf")
let log: Target.Dependency = .product(name: "Logging", package: "swift-log")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let client: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")
let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")

let package = Package(
    name: "trading",
    products: [
        .executable(name: "trading", targets: ["trading"]),
        .executable(name: "trading-coordinator", targets: ["trading-coordinator"]),
        .executable(name: "trading-agent", targets: ["trading-agent"]),
        .executable(name: "trading-shim", targets: ["trading-shim"]),
        .executable(name: "trading-demo", targets: ["trading-demo"]),
        .executable(name: "trading-bench", targets: ["trading-bench"]),
        .executable(name: "trading-bench-floor", targets: ["trading-bench-floor"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/apple/swift-protobuf", exact: "1.39.0", traits: []),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1", traits: []),
        // Of Foundation it takes FoundationEssentials alone; only the coordinator links it.
        .package(url: "https://github.com/swift-server/async-http-client.git", exact: "1.37.0"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
    ],
    targets: [
        // What decides: no imports at all.
        .target(name: "FleetCore", swiftSettings: strict),
        .target(
            name: "FleetInventory",
            dependencies: ["FleetCore", .product(name: "Yams", package: "Yams")],
            swiftSettings: strict),

        // The kernel, libcrypto and SQLite.
        .target(name: "CLinux"),
        .target(name: "LinuxHost", dependencies: ["CLinux", "FleetCore"], swiftSettings: strict),
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .target(name: "FleetTrust", dependencies: ["COpenSSL", "FleetCore"], swiftSettings: strict),

        // The chained record of what was done.
        .target(name: "FleetJournal", dependencies: ["FleetCore", "FleetTrust", "LinuxHost"], swiftSettings: strict),

        // What carries.
        .target(
            name: "FleetWire",
            dependencies: ["FleetCore", "FleetTrust", "LinuxHost", tls, protobuf, log] + nio,
            exclude: ["Proto"],
            swiftSettings: strict),
        .target(
            name: "FleetProbes", dependencies: ["FleetCore", "FleetWire", "LinuxHost", "CSQLite"], swiftSettings: strict),
        .target(
            name: "FleetAPI", dependencies: ["FleetCore", "FleetWire", protobuf], exclude: ["Proto"],
            swiftSettings: strict),

        // The shells.
        .target(
            name: "FleetAgent",
            dependencies: ["FleetCore", "FleetWire", "FleetTrust", "FleetProbes", "FleetAPI", "FleetJournal", "LinuxHost", http, protobuf, log] + nio,
            swiftSettings: strict),
        .target(
            name: "FleetCoordinator",
            dependencies: [
                "FleetCore", "FleetInventory", "FleetWire", "FleetTrust", "FleetAPI", "FleetJournal", "LinuxHost", client, http, protobuf, log,
            ] + nio,
            swiftSettings: strict),
        .target(
            name: "FleetServer",
            dependencies: ["FleetCore", "FleetCoordinator", "FleetAPI", "FleetWire", "FleetTrust", "LinuxHost", hummingbird, protobuf, log, tls] + nio,
            swiftSettings: strict),
        .target(
            name: "FleetClient",
            dependencies: ["FleetCore", "FleetAPI", "FleetWire", "FleetTrust", "LinuxHost", http, tls, log] + nio,
            swiftSettings: strict),

        // The programs.
        .executableTarget(
            name: "trading",
            dependencies: [
                "FleetClient", "FleetInventory", "FleetTrust", "FleetJournal", "FleetAPI", "FleetCore", "FleetWire", "LinuxHost", arguments, protobuf,
            ] + nio,
            swiftSettings: strict),
        .executableTarget(
            name: "trading-coordinator",
            dependencies: [
                "FleetCore", "FleetCoordinator", "FleetServer", "FleetInventory", "FleetJournal", "FleetTrust", "FleetWire", "LinuxHost", arguments, log,
            ] + nio,
            swiftSettings: strict),
        .executableTarget(
            name: "trading-agent",
            dependencies: ["FleetAgent", "FleetCore", "FleetWire", "FleetTrust", "COpenSSL", "LinuxHost", log] + nio,
            swiftSettings: strict,
            // One binary for every x86-64 Linux, a third smaller in memory than linked dynamically. Users and hosts then come
            // from files and DNS only.
            linkerSettings: [.unsafeFlags(["-static-executable"], .when(configuration: .release))]),
        .executableTarget(
            name: "trading-shim",
            cSettings: [.unsafeFlags(["-Os"])],
            linkerSettings: [.unsafeFlags(["-nostartfiles", "-static-executable"])]),
        // The kernel's floor, and small workers: for benchmarks and tests.
        .executableTarget(
            name: "trading-bench-floor",
            cSettings: [.unsafeFlags(["-Os"])],
            linkerSettings: [.unsafeFlags(["-nostartfiles", "-static-executable"])]),
        .executableTarget(
            name: "trading-demo",
            dependencies: ["FleetCore", "LinuxHost", "FleetProbes", "CSQLite", arguments],
            swiftSettings: strict),
        .executableTarget(
            name: "trading-bench",
            dependencies: ["FleetCore", "FleetWire", "FleetTrust", "FleetInventory", "LinuxHost", "CLinux", arguments, tls, protobuf, log] + nio,
            swiftSettings: strict),

        // Frozen, for the version-skew tests alone.
        .executableTarget(
            name: "trading-shim-version-1",
            path: "Tests/TradingShimVersion1",
            exclude: ["README.md"],
            cSettings: [.unsafeFlags(["-Os"])],
            linkerSettings: [.unsafeFlags(["-nostartfiles", "-static-executable"])]),

        // Tests. Those that block threads or start processes run in targets of their own (deploy/test).
        .target(name: "TestSupport", dependencies: ["LinuxHost"], path: "Tests/TestSupport", swiftSettings: strict),
        // Holders of a key who lie: apart from the tests that use them, where NIO's C modules would claim Glibc's structures.
        .target(
            name: "WireImpostors", dependencies: ["FleetCore", "FleetTrust", "FleetWire", "LinuxHost", protobuf, log] + nio,
            path: "Tests/WireImpostors", swiftSettings: strict),
        .testTarget(name: "FleetCoreTests", dependencies: ["FleetCore", "TestSupport"], swiftSettings: strict),
        .testTarget(name: "FleetInventoryTests", dependencies: ["FleetInventory", "FleetCore"], swiftSettings: strict),
        .testTarget(name: "FleetJournalTests", dependencies: ["FleetJournal", "FleetCore", "LinuxHost", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "LinuxHostTests", dependencies: ["LinuxHost", "CLinux", "FleetCore", "TestSupport", "trading-shim", "trading-shim-version-1"],
            swiftSettings: strict),
        .testTarget(name: "FleetTrustTests", dependencies: ["FleetTrust", "FleetCore"], swiftSettings: strict),
        .testTarget(
            name: "FleetWireTests", dependencies: ["TestSupport", "FleetWire", "FleetTrust", "FleetCore", tls, protobuf, log] + nio, swiftSettings: strict),
        .testTarget(
            name: "FleetProbesTests", dependencies: ["TestSupport", "FleetProbes", "FleetWire", "FleetCore", "LinuxHost", "CSQLite", "trading-demo"],
            swiftSettings: strict),
        .testTarget(
            name: "FleetClientTests",
            dependencies: ["FleetClient", "FleetServer", "FleetCoordinator", "FleetAPI", "FleetWire", "FleetTrust", "FleetCore", "LinuxHost", log],
            swiftSettings: strict),
        .testTarget(
            name: "FleetCoordinatorTests",
            dependencies: ["FleetCoordinator", "FleetAPI", "FleetCore", "FleetJournal", "FleetWire", "LinuxHost", http, log] + nio,
            swiftSettings: strict),
        .testTarget(
            name: "FleetAgentTests",
            dependencies: [
                "FleetAgent", "FleetAPI", "FleetCoordinator", "FleetCore", "FleetJournal", "FleetTrust", "FleetWire", "LinuxHost", protobuf, log,
                "TestSupport", "trading-shim", "trading-shim-version-1",
            ] + nio,
            swiftSettings: strict),
        .testTarget(
            name: "FleetTests",
            dependencies: [
                "FleetCore", "FleetAPI", "FleetWire", "FleetTrust", "FleetJournal", "FleetClient", "FleetInventory", "LinuxHost", "trading",
                "trading-coordinator", "trading-agent", "trading-shim", "trading-demo", "FleetAgent", "TestSupport", "torture-worker", "WireImpostors",
                protobuf,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "FuzzTests",
            dependencies: [
                "FleetAPI", "FleetAgent", "FleetClient", "FleetCoordinator", "FleetCore", "FleetInventory", "FleetJournal", "FleetProbes", "FleetTrust",
                "FleetWire",
                "LinuxHost", "TestSupport", "trading-shim", "torture-worker", protobuf, log,
            ] + nio,
            swiftSettings: strict),
        .executableTarget(
            name: "torture-worker", path: "Tests/TortureWorker",
            linkerSettings: [.unsafeFlags(["-nostartfiles", "-static-executable"])]),
        .testTarget(
            name: "SystemdTests",
            dependencies: ["TestSupport", "trading", "trading-coordinator", "trading-agent", "trading-shim", "trading-bench-floor"],
            exclude: ["machine"],
            swiftSettings: strict),
    ]
)
