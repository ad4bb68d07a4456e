// SPDX-License-Identifier: Apache-2.0
//
// rq-ingest: looks at image folders and archives before anything is packed or trained on. This
// file only knows which commands there are.
#include "tools/cli.h"
#include "tools/ingest_commands.h"

int main(int argc, char **argv)
{
    static const rq_cli_command commands[] = {
        {"scan", "decode every image of a source and report what is unusual", rq_ingest_scan},
        {"verify", "compare archives and counts with the official ones", rq_ingest_verify},
        {"report", "totals and page of a report that was written", rq_ingest_report},
        {0}};
    return rq_cli_main(argc, argv, "rq-ingest", "checks image datasets where they come from",
                       commands);
}
