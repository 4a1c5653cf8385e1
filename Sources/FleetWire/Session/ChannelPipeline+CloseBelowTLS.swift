import NIOCore
import NIOSSL

extension ChannelPipeline.SynchronousOperations {
    /// Closes the connection without TLS's goodbye; what waits to be written is dropped.
    func closeBelowTLS(_ fallback: ChannelHandlerContext) {
        do {
            try context(handlerType: NIOSSLHandler.self).close(promise: nil)
        } catch {
            // No TLS handler left: the plain close does.
            fallback.close(promise: nil)
        }
    }
}
