import com.sun.net.httpserver.HttpServer;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.context.Scope;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.logging.Level;
import java.util.logging.Logger;

/** A small service as docs/ingest.md starts it; {@code App NUMBER} sends one metric, trace and log with this number. */
public final class App {
    private static final Logger LOGGER = Logger.getLogger("work-api");

    private App() {}

    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        answer(server, "/api/works", 200);
        answer(server, "/api/failing", 500);
        server.start();
        String number = arguments[0];
        Span span = GlobalOpenTelemetry.getTracer("work-api").spanBuilder("work").setAttribute("work.id", number).startSpan();
        try (Scope scope = span.makeCurrent()) {
            call("http://127.0.0.1:" + server.getAddress().getPort());
            GlobalOpenTelemetry.getMeter("work-api").counterBuilder("work_event.processed").setUnit("{event}").build()
                    .add(Long.parseLong(number));
            LOGGER.severe("work " + number + " failed");
        } finally {
            span.setStatus(StatusCode.ERROR).end();
        }
        System.out.println("trace " + span.getSpanContext().getTraceId());
        server.stop(0);
    }

    private static void call(String address) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
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
