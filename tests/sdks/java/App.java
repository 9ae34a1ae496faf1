import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.logging.Level;
import java.util.logging.Logger;

/** A small service as docs/ingest.md starts it: HTTP server and client, and a logger, instrumented by the agent. */
public final class App {
    private static final Logger LOGGER = Logger.getLogger("work-api");

    private App() {}

    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        answer(server, "/api/works", 200);
        answer(server, "/api/failing", 500);
        server.start();
        String address = "http://127.0.0.1:" + server.getAddress().getPort();
        HttpClient client = HttpClient.newHttpClient();
        for (int round = 0; round < 5; round++) {
            for (String path : new String[] {"/api/works", "/api/failing", "/nowhere"}) {
                HttpRequest request = HttpRequest.newBuilder(URI.create(address + path)).build();
                int status = client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode();
                LOGGER.log(Level.WARNING, "a request was answered: {0}", status);
            }
            try {
                HttpRequest refused = HttpRequest.newBuilder(URI.create("http://127.0.0.1:1/refused")).build();
                client.send(refused, HttpResponse.BodyHandlers.ofString());
            } catch (java.io.IOException exception) {
                LOGGER.log(Level.SEVERE, "no connection", exception);
            }
            Thread.sleep(500);
        }
        server.stop(0);
    }

    private static void answer(HttpServer server, String path, int status) {
        server.createContext(path, exchange -> {
            byte[] body = "done".getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(status, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
    }
}
