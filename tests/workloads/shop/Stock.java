import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;

/** Stock PORT REDIS: the shop's stock; a virtual thread for each request where this Java has them. */
public final class Stock {
    private static final byte[] COMMAND = "*2\r\n$4\r\nINCR\r\n$5\r\nasked\r\n".getBytes(StandardCharsets.US_ASCII);
    private static final int CONNECTIONS = 20;
    private static final BlockingQueue<Socket> idle = new LinkedBlockingQueue<>();

    public static void main(String[] given) throws Exception {
        InetAddress here = InetAddress.getLoopbackAddress();
        for (int count = 0; count < CONNECTIONS; count++) {
            Socket socket = new Socket(here, Integer.parseInt(given[1]));
            socket.setTcpNoDelay(true);
            idle.add(socket);
        }
        HttpServer server = HttpServer.create(new InetSocketAddress(here, Integer.parseInt(given[0])), 256);
        server.setExecutor(threads());
        server.createContext("/", Stock::answer);
        server.start();
        System.out.println("listening");
    }

    private static Executor threads() throws ReflectiveOperationException {
        try {
            return (Executor) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
        } catch (NoSuchMethodException old) {
            return Executors.newFixedThreadPool(32);
        }
    }

    private static void answer(HttpExchange exchange) throws IOException {
        ask();
        byte[] ok = "in stock\n".getBytes(StandardCharsets.US_ASCII);
        exchange.sendResponseHeaders(200, ok.length);
        exchange.getResponseBody().write(ok);
        exchange.close();
    }

    private static void ask() throws IOException {
        Socket socket;
        try {
            socket = idle.take();
        } catch (InterruptedException ended) {
            throw new IOException(ended);
        }
        socket.getOutputStream().write(COMMAND);
        int read;
        do {
            read = socket.getInputStream().read();
        } while (read >= 0 && read != '\n');
        idle.add(socket);
    }
}
